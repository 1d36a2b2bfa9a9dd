// Watches a channel and publishes to it. The newest events stand first; the page keeps the newest 200.
const SHOWN_MAX = 200;
const element = (id) => document.getElementById(id);
let source;
let retrying;

function watch(channel) {
  source?.close();
  clearTimeout(retrying);
  element("events").replaceChildren();
  element("empty").hidden = false;
  element("curl").textContent =
    `curl ${location.origin}/publish -d data=hello --data-urlencode 'channel=${channel.replaceAll("'", "'\\''")}'`;
  tell("connecting");
  open(channel, `last=20`);
}

function open(channel, from) {
  source = new EventSource(`/stream?channel=${encodeURIComponent(channel)}&${from}`);
  const here = source;
  let last = "";
  here.onopen = () => tell(`watching ${channel}`, "open");
  here.onerror = () => {
    tell("connection lost, connecting again", "lost");
    // After an answer that is no stream a browser gives up; a page should not.
    if (here.readyState === EventSource.CLOSED && here === source) {
      const resume = last ? `last_event_id=${encodeURIComponent(last)}` : from;
      retrying = setTimeout(() => open(channel, resume), 2000 + Math.random() * 2000);
    }
  };
  // An EventSource tells only of types that it was asked for, so the stream is asked for each type that was seen.
  const seen = new Set();
  const listen = (type) => {
    if (seen.has(type)) return;
    seen.add(type);
    here.addEventListener(type, (event) => {
      last = event.lastEventId;
      show(event);
    });
  };
  for (const type of ["message", "stream-reset", ...types()]) listen(type);
  listenTo = listen;
}

let listenTo = () => {};

function types() {
  return JSON.parse(sessionStorage.getItem("types") ?? '["greeting"]');
}

function show(event) {
  element("empty").hidden = true;
  const item = document.createElement("li");
  if (event.type === "stream-reset") item.className = "reset";
  const part = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    item.append(made);
    return made;
  };
  part("b", event.type);
  // A long id is cut at its end.
  part("span", event.lastEventId).title = event.lastEventId;
  part("time", new Date().toLocaleTimeString());
  part("pre", pretty(event.data));
  const list = element("events");
  list.prepend(item);
  while (list.children.length > SHOWN_MAX) list.lastChild.remove();
}

function pretty(data) {
  if (!/^\s*[[{]/.test(data)) return data;
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}

function tell(text, state) {
  const place = element("state");
  place.textContent = text;
  place.toggleAttribute("data-open", state === "open");
  place.toggleAttribute("data-lost", state === "lost");
}

element("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  watch(element("watch-channel").value || "sse");
});

element("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const type = element("type").value;
  if (type) {
    sessionStorage.setItem("types", JSON.stringify([...new Set([...types(), type])]));
    listenTo(type);
  }
  const key = element("key").value;
  const address = new URLSearchParams({ channel: element("watch-channel").value, type });
  const answer = element("answer");
  try {
    const response = await fetch(`/publish?${address}`, {
      method: "POST",
      headers: { "Content-Type": "text/plain", ...(key && { Authorization: `Bearer ${key}` }) },
      body: element("data").value,
    });
    const said = await response.json();
    answer.toggleAttribute("data-bad", !response.ok);
    answer.textContent = response.ok ? `Published ${said.id} to ${said.receivers} receiver(s)` : said.detail;
  } catch (error) {
    answer.toggleAttribute("data-bad", true);
    answer.textContent = `The hub could not be reached: ${error.message}`;
  }
});

watch("sse");
