//! A metric: its declaration and its present value.

/// A metric of a broker, or of the program that exposes it, with its present value.
///
/// It knows no format: a server adds a prefix and the suffixes of the format that it writes.
///
/// # Examples
///
/// ```
/// use tidecast::broker::{Metric, MetricValue};
///
/// let sent = Metric::counter("bus_sent", "Bytes sent to the bus", 17).unit("bytes");
/// assert_eq!(sent.value, MetricValue::Counter(17));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name in snake case, without a prefix, the unit, or a counter's `_total`.
    pub name: &'static str,
    /// The meaning, in one line without a full stop.
    pub help: &'static str,
    /// The unit as it ends the name, such as `bytes`; `None` for a plain number.
    pub unit: Option<&'static str>,
    /// An alert to have on it, if any.
    pub alert: Option<Alert>,
    /// The type and the present value.
    pub value: MetricValue,
}

/// The type and the present value of a [`Metric`]. It is exhaustive, so that a server handles every type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricValue {
    /// A number that only grows while the process runs.
    Counter(u64),
    /// A counter for each value of a label.
    LabeledCounter {
        /// The name of the label.
        label: &'static str,
        /// Every value of the label, the same at each reading, with its count.
        counts: Vec<(&'static str, u64)>,
    },
    /// A number that grows and falls.
    Gauge(u64),
}

/// An alert on a [`Metric`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// The condition in PromQL, with the name under which the server exposes the metric.
    pub expression: &'static str,
    /// The cause, and the remedy.
    pub meaning: &'static str,
}

impl Metric {
    /// Creates a counter.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, count: u64) -> Self {
        Self::new(name, help, MetricValue::Counter(count))
    }

    /// Creates a counter for each value of a label.
    #[must_use]
    pub fn labeled_counter(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        counts: impl Into<Vec<(&'static str, u64)>>,
    ) -> Self {
        Self::new(name, help, MetricValue::LabeledCounter { label, counts: counts.into() })
    }

    /// Creates a gauge.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help, MetricValue::Gauge(value))
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// Sets the alert: its condition in PromQL, and its cause and remedy.
    #[must_use]
    pub fn alert(self, expression: &'static str, meaning: &'static str) -> Self {
        Self { alert: Some(Alert { expression, meaning }), ..self }
    }

    fn new(name: &'static str, help: &'static str, value: MetricValue) -> Self {
        Self { name, help, unit: None, alert: None, value }
    }
}
