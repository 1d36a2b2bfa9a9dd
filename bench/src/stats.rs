//! Medians and percentiles.

/// A histogram of latencies, whose buckets are less than 1 % wide: recording one costs one addition, however many there
/// are.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// The binary logarithm of the number of buckets between two powers of two.
const FINE: u32 = 7;

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; ((65 - FINE) << FINE) as usize], total: 0 }
    }

    /// Records a latency in nanoseconds.
    pub(crate) fn note(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Returns the latency in milliseconds that this share of all did not exceed, or NaN if there are none.
    pub(crate) fn share_ms(&self, share: f64) -> f64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(bucket) as f64 / 1e6;
            }
        }
        f64::NAN
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(FINE + 1);
    ((shift as usize) << FINE) + (nanos >> shift) as usize
}

/// Returns the highest number of a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket >> FINE).saturating_sub(1);
    let fine = (bucket - (shift << FINE)) as u64;
    (fine << shift) + ((1 << shift) - 1)
}

/// Returns the median, which of an even number of values is the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_a_narrow_bucket_that_ends_above_it() {
        for nanos in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, 3 << bit >> 1]).chain([u64::MAX]) {
            let end = highest(bucket(nanos));
            assert!(end >= nanos, "{nanos}: {end}");
            assert!(end - nanos <= nanos >> FINE, "{nanos}: {end}");
        }
        assert!(bucket(u64::MAX) < Histogram::new().counts.len());
    }

    #[test]
    fn percentiles_are_of_all_recorded_values() {
        let mut histogram = Histogram::new();
        assert!(histogram.share_ms(0.5).is_nan());
        for millis in 1..=1_000 {
            histogram.note(millis * 1_000_000);
        }
        for (share, wanted) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let ms = histogram.share_ms(share);
            assert!((wanted..wanted * 1.01).contains(&ms), "{share}: {ms}");
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}
