// The form that publishes. The key is kept until the tab is closed, and sent to this hub only.

const STORED = "tidecast-key";
const DEADLINE_MS = 15_000;
const element = (id) => document.getElementById(id);

export function key() {
  return sessionStorage.getItem(STORED) ?? "";
}

/** Returns the headers that carry the key, if there is one. */
export function authorization() {
  return key() ? { Authorization: `Bearer ${key()}` } : {};
}

/** Starts the form. `keyChanged` is called when the key has changed. */
export function start(keyChanged) {
  const form = element("publish");
  element("key").value = key();
  element("key").addEventListener("change", () => {
    storeKey();
    keyChanged();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    storeKey();
    const button = form.querySelector("button");
    button.disabled = true;
    const { text, isBad } = await publish();
    button.disabled = false;
    element("answer").textContent = text;
    element("answer").toggleAttribute("data-bad", isBad);
  });
}

function storeKey() {
  const given = element("key").value.trim();
  if (given) sessionStorage.setItem(STORED, given);
  else sessionStorage.removeItem(STORED);
}

// Publishes as text, so that the data is sent as typed, JSON too.
async function publish() {
  const fields = ["channel", "type", "id"].map((name) => [name, element(name).value]);
  const given = new URLSearchParams(fields.filter(([, value]) => value !== ""));
  try {
    const response = await fetch(`publish?${given}`, {
      method: "POST",
      headers: { "Content-Type": "text/plain", ...authorization() },
      body: element("data").value,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const result = await response.json().catch(() => ({}));
    if (!response.ok) return { text: `${response.status}: ${result.detail ?? response.statusText}`, isBad: true };
    const receivers = result.receivers === 1 ? "1 receiver" : `${result.receivers} receivers`;
    return { text: `Published ${result.id} to ${receivers}`, isBad: false };
  } catch (error) {
    return { text: `Not published: ${unreached(error)}`, isBad: true };
  }
}

/** Describes why a request with the key got no response. */
export function unreached(error) {
  // The browser refuses a key with characters that a header cannot carry.
  const isKey = error instanceof TypeError && /header|ByteString/i.test(error.message);
  return isKey ? "the key has letters that a key can't have" : "the hub can't be reached";
}
