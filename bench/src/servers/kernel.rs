//! Counters of the kernel for the whole machine: of connections, and of its own memory for them.

use std::fs;

use anyhow::{Context, Result};

/// The counters, of which only differences count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpCounters {
    /// Requests to connect that were sent again, because no answer came.
    pub(crate) syn_retransmits: u64,
    /// Connections dropped because a listener's queue was full.
    pub(crate) listen_overflows: u64,
}

impl TcpCounters {
    /// Reads the counters of `/proc/net/netstat`.
    pub(crate) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/net/netstat")?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, values) = lines.next().zip(lines.next()).context("no TcpExt in /proc/net/netstat")?;
        let counter = |wanted: &str| -> Result<u64> {
            let mut both = names.split_whitespace().zip(values.split_whitespace());
            let (_, value) = both.find(|(name, _)| *name == wanted).with_context(|| format!("no {wanted}"))?;
            Ok(value.parse()?)
        };
        Ok(Self { syn_retransmits: counter("TCPSynRetrans")?, listen_overflows: counter("ListenOverflows")? })
    }
}

/// Returns the kernel's memory for sockets, files and everything else of that kind, in bytes: its slabs, and the
/// buffers of TCP. Their data belong to both ends of a connection, and to no process.
pub(crate) fn memory() -> Result<u64> {
    let slabs = field(&fs::read_to_string("/proc/meminfo")?, "Slab:", "kB")?;
    let pages = field(&fs::read_to_string("/proc/net/sockstat")?, "TCP:", "mem")?;
    Ok(slabs * 1_024 + pages * rustix::param::page_size() as u64)
}

/// Returns the number beside a word, in the line that begins with another: in front of it or behind it.
fn field(text: &str, line: &str, beside: &str) -> Result<u64> {
    let words = text.lines().find(|candidate| candidate.starts_with(line)).with_context(|| format!("no {line}"))?;
    let words: Vec<_> = words.split_whitespace().collect();
    let at = words.iter().position(|word| *word == beside).with_context(|| format!("no {beside} in {line}"))?;
    let number = words.get(at + 1).unwrap_or(&words[at - 1]);
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_beside_its_unit_or_name() {
        assert_eq!(field("MemFree: 1 kB\nSlab:   204 kB\n", "Slab:", "kB").unwrap(), 204);
        assert_eq!(field("TCP: inuse 9 orphan 0 mem 17\n", "TCP:", "mem").unwrap(), 17);
        assert!(field("TCP: inuse 9\n", "TCP:", "mem").is_err());
        assert!(memory().unwrap() > 0);
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "TcpExt: A ListenOverflows TCPSynRetrans\nTcpExt: 1 2 3\nIpExt: A\nIpExt: 9\n";
        let counters = TcpCounters::parse(text).unwrap();
        assert_eq!((counters.listen_overflows, counters.syn_retransmits), (2, 3));
        assert!(TcpCounters::read().is_ok());
        assert!(TcpCounters::parse("TcpExt: A\nTcpExt: 1\n").is_err());
    }
}
