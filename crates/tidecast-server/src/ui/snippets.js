// What does the same as this page, from a program: for the channel that is being watched.

import { key } from "./publish.js";

const base = () => new URL(".", document.baseURI).href;
const streamOf = (channel, ...more) => `${base()}stream?${new URLSearchParams([["channel", channel], ...more])}`;
const shell = (text) => (/^[\w.,:/=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
// A string as JavaScript, Python and Rust all write it, as a channel's name has no control character.
const quoted = (text) => JSON.stringify(text);

// The key itself is never shown.
const ifKey = (text) => (key() ? text : "");
const RUST_HEADER = '\n        .header("Authorization", format!("Bearer {}", std::env::var("TIDECAST_PUBLISH_KEY")?))';

const LANGUAGES = {
  curl: (channel) => `# listen
curl -N \\
  ${shell(streamOf(channel))}

# publish
${curlPublish(channel, " \\\n ")}
`,

  javascript: (channel) => `import { TidecastSource } from ${quoted(`${base()}tidecast.js`)};

// listen; to a type of its own: source.addEventListener("price", …)
const source = new TidecastSource(${quoted(streamOf(channel))});
source.onmessage = (event) => console.log(event.data);

// publish
await fetch(${quoted(`${base()}publish`)}, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",${ifKey("\n    Authorization: `Bearer ${process.env.TIDECAST_PUBLISH_KEY}`,")}
  },
  body: JSON.stringify({ channel: ${quoted(channel)}, data: { message: "Hello!" } }),
});
`,

  python: (channel) => `import json
${ifKey("import os\n")}from urllib.request import Request, urlopen

# publish
event = {"channel": ${quoted(channel)}, "data": {"message": "Hello!"}}
request = Request(
    ${quoted(`${base()}publish`)},
    json.dumps(event).encode(),
    {
        "Content-Type": "application/json",${ifKey('\n        "Authorization": "Bearer " + os.environ["TIDECAST_PUBLISH_KEY"],')}
    },
)
print(urlopen(request).read().decode())

# listen, from the newest ten on
for line in urlopen(${quoted(streamOf(channel, ["last", 10]))}):
    if line.startswith(b"data: "):
        print(line[6:].decode(), end="")
`,

  rust: (channel) => `// cargo add ureq@3
use std::io::{BufRead, BufReader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // publish
    let answer = ureq::post(${quoted(`${base()}publish`)})${ifKey(RUST_HEADER)}
        .send_form([("channel", ${quoted(channel)}), ("data", "Hello!")])?;
    println!("{}", answer.into_body().read_to_string()?);

    // listen, from the newest ten on
    let stream = ureq::get(${quoted(streamOf(channel, ["last", 10]))}).call()?;
    for line in BufReader::new(stream.into_body().into_reader()).lines() {
        if let Some(data) = line?.strip_prefix("data: ") {
            println!("{data}");
        }
    }
    Ok(())
}
`,
};

/** The line that publishes to a channel from a terminal, with `broken` where it may go on in the next. */
export function curlPublish(channel, broken = "") {
  const field = /^[\w.-]+$/.test(channel) ? `-d channel=${channel}` : `--data-urlencode ${shell(`channel=${channel}`)}`;
  const header = ifKey(' -H "Authorization: Bearer $TIDECAST_PUBLISH_KEY"');
  return `curl ${shell(`${base()}publish`)}${broken}${header}${header && broken} ${field} -d data=hello`;
}

/** Makes the tabs and the button work. `places` are the elements `tabs` (a list of them), `panel` and `copy`. */
export function start({ tabs, panel, copy }) {
  let channel = "sse";
  let chosen = tabs[0];
  const show = () => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      // One stop for the tab key; among themselves the arrows move, as readers of such lists expect.
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", chosen.id);
    panel.textContent = LANGUAGES[chosen.dataset.language](channel);
  };
  const choose = (tab) => {
    chosen = tab;
    show();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(tabs.at(to % tabs.length));
      chosen.focus();
    });
  });
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(panel)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (copy.textContent = "Copy"), 1_500);
  });
  return {
    /** Fills in a channel, and that a key is needed if there is one. */
    fill(name) {
      channel = name;
      show();
    },
  };
}

async function copied(panel) {
  try {
    await navigator.clipboard.writeText(panel.textContent);
    return true;
  } catch {
    // There is no clipboard for a page that came over plain HTTP from another machine: what is selected can be copied.
    getSelection().selectAllChildren(panel);
    return false;
  }
}
