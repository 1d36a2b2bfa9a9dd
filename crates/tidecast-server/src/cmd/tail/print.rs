//! Prints events on standard output: as text, or as a JSON object per line.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use serde_json::Value;
use tidecast::{STREAM_RESET, wire::Message};

use crate::cmd::style::{Emphasis, SanitizedJson, Style, sanitize};

/// Prints events on standard output.
#[derive(Debug)]
pub(super) struct Printer {
    output: BufWriter<Stdout>,
    style: Style,
    format: OutputFormat,
    /// Whether text names the channel of each event, as there are several.
    names_channels: bool,
}

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputFormat {
    Text,
    /// A JSON object per event.
    Json,
}

/// An event in the form of `--json`.
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
    /// Creates a printer for the events of a number of channels.
    pub(super) fn new(format: OutputFormat, channels: usize) -> Self {
        let output = io::stdout();
        let style = Style::of(&output);
        let output = BufWriter::with_capacity(64 * 1024, output);
        Self { output, style, format, names_channels: channels > 1 }
    }

    /// Writes an event to the buffer.
    pub(super) fn message(&mut self, channel: Option<&str>, message: &Message) -> io::Result<()> {
        let reset = (message.event_type == STREAM_RESET).then(|| serde_json::from_str(&message.data).ok()).flatten();
        let channel = reset.as_ref().and_then(|reset: &Value| reset["channel"].as_str()).or(channel);
        if self.format == OutputFormat::Json {
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

    /// Writes the buffer out.
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
        // Further lines are indented, so that the beginning of an event stands out.
        for (index, line) in message.data.split('\n').enumerate() {
            writeln!(self.output, "{}{}", if index == 0 { " " } else { "    " }, sanitize(line))?;
        }
        Ok(())
    }

    fn reset(&mut self, channel: Option<&str>, reset: &Value) -> io::Result<()> {
        let reason = reset["reason"].as_str().unwrap_or_default();
        let meaning = match reason {
            "expired" => "the events in between are no longer retained",
            "restarted" => "the channel was restarted, so events may be missing",
            "unknown-id" => "the hub does not know the id to resume from, so events may be missing",
            "too-slow" => "this client read too slowly, and events are missing",
            "ambiguous-id" => "several events have the id to resume from, so some may be repeated",
            _ => "events may be missing",
        };
        let resumed_at = reset["resumed_at"].as_str().unwrap_or("an unknown position");
        let channel = channel.unwrap_or("?");
        let notice = format!("-- reset of {channel} ({reason}): {meaning}; resumed after {resumed_at}");
        writeln!(self.output, "{}", self.style.paint(Emphasis::Notice, sanitize(&notice)))
    }
}
