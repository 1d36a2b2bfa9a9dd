// The list of channels to choose from. A channel that is not on it can be watched too.

import { authorization } from "./publish.js";

/** Loads the channels from the hub. The argument has the elements `list` and `note`. */
export async function refresh({ list, note }) {
  try {
    const response = await fetch("channels", { headers: authorization() });
    if (response.status === 401) {
      list.replaceChildren();
      note.textContent = "enter the publish key to list channels";
      return;
    }
    if (!response.ok) throw new Error();
    const { channels, next } = await response.json();
    list.replaceChildren(...channels.map(option));
    const known = `${channels.length.toLocaleString("en")}${next ? " and more" : ""}`;
    note.textContent = `${known} ${channels.length === 1 ? "channel" : "channels"} known to the hub`;
  } catch {
    note.textContent = "the channels could not be listed";
  }
}

function option({ channel, events, subscribers }) {
  const element = document.createElement("option");
  element.value = channel;
  element.label = `${channel} (${events} kept, ${subscribers} listening)`;
  return element;
}
