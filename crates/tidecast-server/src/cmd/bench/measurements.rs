//! The measurements and their report.

use std::{fmt::Write, time::Duration};

use super::subscriber::Received;

/// All deliveries.
#[derive(Debug)]
pub(super) struct Measurements {
    events: u32,
    micros: Vec<u32>,
    /// First deliveries of an event to a subscriber.
    once: u64,
    doubled: u64,
}

impl Measurements {
    pub(super) fn new(events: u32) -> Self {
        Self { events, micros: Vec::new(), once: 0, doubled: 0 }
    }

    pub(super) fn add(&mut self, received: Received) {
        for times in received.times {
            self.once += u64::from(times > 0);
            self.doubled += u64::from(times.saturating_sub(1));
        }
        self.micros.extend(received.micros);
    }

    /// Returns whether every subscriber received every event once.
    pub(super) fn is_clean(&self, subscribers: u32) -> bool {
        self.lost(subscribers) == 0 && self.doubled == 0
    }

    pub(super) fn report(&mut self, subscribers: u32, publishing: Duration) -> String {
        self.micros.sort_unstable();
        let mut report = String::new();
        let rate = self.once * 1_000_000 / u64::try_from(publishing.as_micros()).unwrap_or(u64::MAX).max(1);
        let _ = writeln!(
            report,
            "  publish to receive   p50 {}   p99 {}   most {}",
            self.at(50),
            self.at(99),
            self.at(100)
        );
        let _ = writeln!(report, "  deliveries           {} in all, {rate} a second", self.once + self.doubled);
        let _ = writeln!(report, "  lost {}, doubled {}", self.lost(subscribers), self.doubled);
        report
    }

    fn lost(&self, subscribers: u32) -> u64 {
        u64::from(subscribers) * u64::from(self.events) - self.once
    }

    /// Returns the delivery time at a percentile.
    fn at(&self, percent: usize) -> String {
        let rank = (self.micros.len() * percent).div_ceil(100).max(1) - 1;
        match self.micros.get(rank) {
            Some(micros) => format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10),
            None => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_percentiles_are_exact() {
        let mut measurements = Measurements::new(100);
        measurements.add(Received { times: vec![1; 100], micros: (1..=100).map(|number| number * 1_000).collect() });
        assert!(measurements.is_clean(1) && !measurements.is_clean(2));
        let report = measurements.report(1, Duration::from_secs(1));
        assert!(report.contains("p50 50.00 ms   p99 99.00 ms   most 100.00 ms"), "{report}");
        assert!(report.contains("100 in all, 100 a second") && report.contains("lost 0, doubled 0"), "{report}");
        measurements.add(Received { times: [vec![2], vec![0], vec![1; 98]].concat(), micros: vec![] });
        assert!(measurements.report(2, Duration::from_secs(1)).contains("lost 1, doubled 1"));
    }
}
