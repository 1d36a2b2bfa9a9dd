//! Events on standard output: for people, or an object per line.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use serde_json::Value;
use tidecast::{STREAM_RESET, wire::Message};

use crate::cmd::style::{Emphasis, SanitizedJson, Style, sanitize};

/// Standard output.
#[derive(Debug)]
pub(super) struct Printer {
    output: BufWriter<Stdout>,
    style: Style,
    json: bool,
    names_channels: bool,
}

/// An event as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: &'a str,
}

impl Printer {
    pub(super) fn new(json: bool, names_channels: bool) -> Self {
        let output = io::stdout();
        Self { style: Style::of(&output), output: BufWriter::with_capacity(64 * 1024, output), json, names_channels }
    }

    /// Writes an event; it is seen with the next [`flush`](Self::flush).
    pub(super) fn message(&mut self, channel: Option<&str>, message: &Message) -> io::Result<()> {
        let reset = (message.event_type == STREAM_RESET).then(|| serde_json::from_str(&message.data).ok()).flatten();
        let channel = reset.as_ref().and_then(|reset: &Value| reset["channel"].as_str()).or(channel);
        if self.json {
            let Message { event_type, data, last_event_id: id, .. } = message;
            let line = Line { channel, id, event_type, data };
            line.serialize(&mut serde_json::Serializer::with_formatter(&mut self.output, SanitizedJson))?;
            return self.output.write_all(b"\n");
        }
        match reset {
            Some(ref reset) => self.reset(channel, reset),
            None => self.event(channel, message),
        }
    }

    /// Lets go of what was written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn event(&mut self, channel: Option<&str>, message: &Message) -> io::Result<()> {
        let style = self.style;
        write!(self.output, "{} ", style.paint(Emphasis::Dim, sanitize(&message.last_event_id)))?;
        if self.names_channels {
            write!(self.output, "{} ", style.paint(Emphasis::Dim, sanitize(channel.unwrap_or("?"))))?;
        }
        write!(self.output, "{}", style.paint(Emphasis::Name, sanitize(&message.event_type)))?;
        // Further lines stand further in, so that an event's beginning is seen.
        for (index, line) in message.data.split('\n').enumerate() {
            writeln!(self.output, "{}{}", if index == 0 { " " } else { "    " }, sanitize(line))?;
        }
        Ok(())
    }

    fn reset(&mut self, channel: Option<&str>, reset: &Value) -> io::Result<()> {
        let reason = reset["reason"].as_str().unwrap_or_default();
        let meaning = match reason {
            "expired" => "what came in between is not kept any more",
            "restarted" => "the channel has begun anew, so events may be missing",
            "unknown-id" => "the hub does not know where this was, so events may be missing",
            "too-slow" => "this read too slowly, and events are missing",
            "ambiguous-id" => "several events have the id from which to go on, so some may come again",
            _ => "events may be missing",
        };
        let resumed_at = reset["resumed_at"].as_str().unwrap_or("an unknown place");
        let channel = channel.unwrap_or("?");
        let notice = format!("-- reset of {channel} ({reason}): {meaning}; goes on after {resumed_at}");
        writeln!(self.output, "{}", self.style.paint(Emphasis::Notice, sanitize(&notice)))
    }
}
