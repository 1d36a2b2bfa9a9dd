//! Counters of the kernel for all TCP connections of this machine.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "TcpExt: A ListenOverflows TCPSynRetrans\nTcpExt: 1 2 3\nIpExt: A\nIpExt: 9\n";
        let counters = TcpCounters::parse(text).unwrap();
        assert_eq!((counters.listen_overflows, counters.syn_retransmits), (2, 3));
        assert!(TcpCounters::read().is_ok());
        assert!(TcpCounters::parse("TcpExt: A\nTcpExt: 1\n").is_err());
    }
}
