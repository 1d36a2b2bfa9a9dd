// Code snippets that listen and publish, for the channel that is being watched.

import { key } from "./publish.js";

const base = () => new URL(".", document.baseURI).href;
const streamOf = (channel, ...more) => `${base()}stream?${new URLSearchParams([["channel", channel], ...more])}`;
const shell = (text) => (/^[\w.,:/=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
// A channel name has no control characters, so its JSON is a string literal in JavaScript, Python and Rust too.
const quoted = (text) => JSON.stringify(text);

// Snippets name the variable of the key, and never show the key.
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

// listen; for another type: source.addEventListener("price", …)
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

# listen, beginning with the newest ten
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

    // listen, beginning with the newest ten
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

/** Returns the command that publishes to a channel, with `lineBreak` where it may be broken. */
export function curlPublish(channel, lineBreak = "") {
  const field = /^[\w.-]+$/.test(channel) ? `-d channel=${channel}` : `--data-urlencode ${shell(`channel=${channel}`)}`;
  const header = ifKey(' -H "Authorization: Bearer $TIDECAST_PUBLISH_KEY"');
  return `curl ${shell(`${base()}publish`)}${lineBreak}${header}${header && lineBreak} ${field} -d data=hello`;
}

/** Starts the tabs and the copy button. The argument has the elements `tabs` (an array), `panel` and `copy`. */
export function start({ tabs, panel, copy }) {
  let channel = "sse";
  let chosen = tabs[0];
  const show = () => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      // The tab key reaches the selected tab only; the arrow keys move between tabs.
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
    /** Shows the snippets for a channel, with the key's variable if there is a key. */
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
    // A page over plain HTTP from another machine has no clipboard, so the text is selected for copying.
    getSelection().selectAllChildren(panel);
    return false;
  }
}
