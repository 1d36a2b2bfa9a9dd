//! Figures with a name, a unit and a direction, and the bars that they must reach.

use crate::{
    load::{checker::Faults, form::Form},
    servers::Kind,
    stats::{self, Histogram},
};

/// The quantity of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Deliveries,
    DeliveriesOnOne,
    Publishes,
    Connects,
    P50,
    P90,
    P99,
    P999,
    Cpu,
    CpuOfRedis,
    CpuOfLoad,
    CpuOfConnects,
    CpuOfPublishes,
    CpuOfForm(Form),
    /// The dearest form of one event in one segment, in relation to the cheapest.
    WorstForm,
    SynRetransmits,
    ListenOverflows,
    KibEach,
    /// Of the kernel, for both ends of a connection.
    KernelKibEach,
    MibFresh,
    MibBefore,
    MibAt,
    MibAfter,
    ConnectSeconds,
    RedisConnections,
    Lost,
    Doubled,
    Reordered,
    Garbled,
    EncodeNanos,
    PublishNanos,
}

impl Metric {
    /// Returns the head of its column with its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries/s",
            Self::DeliveriesOnOne => "deliveries/s on 1 channel",
            Self::Publishes => "publishes/s",
            Self::Connects => "connects/s",
            Self::P50 => "p50 ms",
            Self::P90 => "p90 ms",
            Self::P99 => "p99 ms",
            Self::P999 => "p99.9 ms",
            Self::Cpu => "CPU s per million deliveries",
            Self::CpuOfRedis => "Redis's CPU s per million",
            Self::CpuOfLoad => "generator's CPU s per million",
            Self::CpuOfConnects => "CPU s per million connects",
            Self::CpuOfPublishes => "CPU s per million publishes",
            Self::CpuOfForm(form) => form.name(),
            Self::WorstForm => "worst : best",
            Self::SynRetransmits => "SYNs repeated",
            Self::ListenOverflows => "listen overflows",
            Self::KibEach => "KiB a connection",
            Self::KernelKibEach => "kernel's KiB, both ends",
            Self::MibFresh => "MiB fresh",
            Self::MibBefore => "MiB before",
            Self::MibAt => "MiB connected",
            Self::MibAfter => "MiB after",
            Self::ConnectSeconds => "connecting, s",
            Self::RedisConnections => "Redis connections",
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::Garbled => "garbled",
            Self::EncodeNanos => "encode, ns",
            Self::PublishNanos => "publish, ns",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Deliveries | Self::DeliveriesOnOne | Self::Publishes | Self::Connects)
    }

    /// Returns whether any value but zero is a fault.
    pub(crate) fn is_fault(self) -> bool {
        FAULTS.contains(&self)
    }
}

/// Quantities that must be zero in every case with deliveries.
pub(crate) const FAULTS: [Metric; 4] = [Metric::Lost, Metric::Doubled, Metric::Reordered, Metric::Garbled];

/// The figures of one run of a case, or the medians of several.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    values: Vec<(Metric, f64)>,
    /// Streams that have begun, in steps of 0.1 s; empty if a case draws no such curve.
    pub(crate) timeline: Vec<f64>,
}

impl Figures {
    pub(crate) fn put(&mut self, metric: Metric, value: f64) {
        self.values.push((metric, value));
    }

    pub(crate) fn of(&self, metric: Metric) -> Option<f64> {
        self.values
            .iter()
            .find(|(known, _)| *known == metric)
            .map(|(_, value)| *value)
            .filter(|value| value.is_finite())
    }

    pub(crate) fn put_latencies(&mut self, latencies: &Histogram) {
        for (metric, share) in [(Metric::P50, 0.5), (Metric::P90, 0.9), (Metric::P99, 0.99), (Metric::P999, 0.999)] {
            self.put(metric, latencies.share_ms(share));
        }
    }

    pub(crate) fn put_faults(&mut self, faults: Faults) {
        let Faults { lost, doubled, reordered, garbled } = faults;
        for (metric, count) in FAULTS.into_iter().zip([lost, doubled, reordered, garbled]) {
            self.put(metric, count as f64);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Metric, f64)> {
        self.values.iter().copied()
    }

    /// Adds the faults of another run.
    pub(crate) fn add_faults(&mut self, other: &Self) {
        for (metric, value) in self.values.iter_mut().filter(|(metric, _)| metric.is_fault()) {
            *value += other.of(*metric).unwrap_or(f64::NAN);
        }
    }

    /// Returns the medians over rounds, and of faults the sums, as one fault is too many.
    pub(crate) fn over(rounds: &[Self]) -> Self {
        let Some(first) = rounds.first() else { return Self::default() };
        let over = |metric: Metric| {
            let values = rounds.iter().filter_map(|round| round.of(metric));
            if metric.is_fault() { values.sum() } else { stats::median(values) }
        };
        let values = first.iter().map(|(metric, _)| (metric, over(metric))).collect();
        // A curve that is at its end stays there.
        let steps = rounds.iter().map(|round| round.timeline.len()).max().unwrap_or(0);
        let at = |step: usize, curve: &[f64]| curve.get(step).or(curve.last()).copied();
        let step = |step| stats::median(rounds.iter().filter_map(|round| at(step, &round.timeline)));
        Self { values, timeline: (0..steps).map(step).collect() }
    }
}

/// The reference of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Against {
    Number,
    /// The better of the two bare writers.
    Bare,
    /// One of the other servers.
    One(Kind),
    /// nchan, with one or two workers.
    Nchan,
    /// The best peer.
    BestPeer,
    /// Another figure of Tidecast.
    Own(Metric),
}

/// A bar that a figure of Tidecast must reach: a factor of its reference, or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bar {
    pub(crate) metric: Metric,
    pub(crate) factor: f64,
    pub(crate) against: Against,
}

impl Bar {
    pub(crate) const fn new(metric: Metric, factor: f64, against: Against) -> Self {
        Self { metric, factor, against }
    }

    /// Returns whether a figure meets the bar. A missing figure does not.
    pub(crate) fn is_met(&self, figure: Option<f64>, reference: Option<f64>) -> bool {
        let (Some(figure), Some(reference)) = (figure, reference) else { return false };
        let must = self.factor * reference;
        if self.metric.more_is_better() { figure >= must } else { figure <= must }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate: f64, lost: f64) -> Figures {
        let values = vec![(Metric::Deliveries, rate), (Metric::Lost, lost)];
        Figures { values, timeline: vec![rate] }
    }

    #[test]
    fn rates_are_medians_and_faults_are_sums() {
        let over = Figures::over(&[figures(1.0, 0.0), figures(9.0, 1.0), figures(2.0, 0.0)]);
        assert_eq!(over, figures(2.0, 1.0));
    }

    #[test]
    fn a_bar_is_met_from_the_better_side() {
        let rate = Bar::new(Metric::Deliveries, 0.9, Against::Bare);
        assert!(rate.is_met(Some(95.0), Some(100.0)) && !rate.is_met(Some(89.0), Some(100.0)));
        let cpu = Bar::new(Metric::Cpu, 1.1, Against::Bare);
        assert!(cpu.is_met(Some(1.05), Some(1.0)) && !cpu.is_met(Some(1.2), Some(1.0)));
        assert!(!cpu.is_met(None, Some(1.0)) && !cpu.is_met(Some(1.0), None));
        assert!(!Bar::new(Metric::Lost, 0.0, Against::Number).is_met(Some(1.0), Some(1.0)));
    }
}
