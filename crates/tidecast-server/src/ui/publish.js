// The form that publishes, and the key, which is kept for as long as the tab is open and sent to this hub only.

const STORED = "tidecast-key";
const DEADLINE_MS = 15_000;
const element = (id) => document.getElementById(id);

export function key() {
  return sessionStorage.getItem(STORED) ?? "";
}

/** The header by which the hub knows who may. */
export function authorization() {
  return key() ? { Authorization: `Bearer ${key()}` } : {};
}

/** Makes the form work. `keyChanged` is called when another key was given. */
export function start(keyChanged) {
  const form = element("publish");
  element("key").value = key();
  element("key").addEventListener("change", () => {
    remember();
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
    remember();
    const button = form.querySelector("button");
    button.disabled = true;
    const { text, isBad } = await publish();
    button.disabled = false;
    element("answer").textContent = text;
    element("answer").toggleAttribute("data-bad", isBad);
  });
}

function remember() {
  const given = element("key").value.trim();
  if (given) sessionStorage.setItem(STORED, given);
  else sessionStorage.removeItem(STORED);
}

// As text: so the data goes out as it was typed, JSON too.
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
    const said = await response.json().catch(() => ({}));
    if (!response.ok) return { text: `${response.status}: ${said.detail ?? response.statusText}`, isBad: true };
    const receivers = said.receivers === 1 ? "1 receiver" : `${said.receivers} receivers`;
    return { text: `Published ${said.id} to ${receivers}`, isBad: false };
  } catch (error) {
    return { text: `Not published: ${unreached(error)}`, isBad: true };
  }
}

/** Why a request with the key got no answer. */
export function unreached(error) {
  // A header can't have every letter; a key that has others is none of a hub's.
  const isKey = error instanceof TypeError && /header|ByteString/i.test(error.message);
  return isKey ? "the key has letters that a key can't have" : "the hub can't be reached";
}
