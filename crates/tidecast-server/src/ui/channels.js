// The list of channels to pick from. What is not on it can be watched as well.

import { authorization } from "./publish.js";

/** Asks the hub for its channels. `places` are the elements `list` and `note`. */
export async function refresh({ list, note }) {
  try {
    const response = await fetch("channels", { headers: authorization() });
    if (response.status === 401) {
      list.replaceChildren();
      note.textContent = "to list channels, give the publish key";
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
  const made = document.createElement("option");
  made.value = channel;
  made.label = `${channel} (${events} kept, ${subscribers} listening)`;
  return made;
}
