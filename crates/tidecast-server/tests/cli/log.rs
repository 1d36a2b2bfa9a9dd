//! A reproducible log of a package manager.

const NAMES: [&str; 8] = ["libc6", "tzdata", "openssl", "python3", "perl-base", "libssl3", "curl", "bash"];
const STATES: [&str; 5] = ["unpacked", "half-configured", "installed", "half-installed", "triggers-pending"];

/// Returns this many different lines, each of which begins with its number as a time.
pub(crate) fn lines(count: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(17);
    (0..count)
        .map(|number| {
            let (hour, minute, second) = (number / 3_600, number / 60 % 60, number % 60);
            let name = random.choice(NAMES).unwrap_or_default();
            let state = random.choice(STATES).unwrap_or_default();
            let version = format!("{}.{}-{}", random.u8(0..9), random.u8(..), random.u8(1..5));
            format!("2026-01-31 {hour:02}:{minute:02}:{second:02} status {state} {name}:amd64 {version}")
        })
        .collect()
}
