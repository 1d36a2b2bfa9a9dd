//! A timer wheel: a slot for each tick of the near future, with the tokens that are due then.
//!
//! A deadline that moves is not looked for here. A token lies in the slot at which it is next looked at, and is then put in
//! again.

use std::time::Duration;

use super::slab::Token;

/// Most ticks that the wheel covers.
const TICKS_MAX: u32 = 64;

const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

/// A time, in ticks since the start. 32 bits last for years.
pub(super) type Tick = u32;

/// A time that never comes.
pub(super) const NEVER: Tick = Tick::MAX;

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Token>>,
    /// The last tick that was passed.
    turned: Tick,
    tick: Duration,
}

impl Wheel {
    /// Creates a wheel that is fine enough for the shortest of some times. Zeros are left out.
    pub(super) fn for_shortest_of(times: impl IntoIterator<Item = Duration>) -> Self {
        let shortest = times.into_iter().filter(|time| !time.is_zero()).min().unwrap_or(TICK_MAX * TICKS_MAX);
        let tick = (shortest / 8).clamp(TICK_MIN, TICK_MAX);
        let ahead = (shortest.as_millis() / tick.as_millis()).clamp(1, u128::from(TICKS_MAX)) as usize;
        Self { slots: vec![Vec::new(); ahead + 1], turned: 0, tick }
    }

    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    /// Returns a number of ticks that is not over before `time` is.
    pub(super) fn ticks(&self, time: Duration) -> Tick {
        let ticks = time.as_nanos().div_ceil(self.tick.as_nanos()).saturating_add(1);
        ticks.min(u128::from(NEVER)) as Tick
    }

    /// Puts a token in for a tick, or for the last one that the wheel covers. Returns which.
    pub(super) fn put(&mut self, token: Token, at: Tick) -> Tick {
        let at = at.clamp(self.turned + 1, self.turned + self.slots.len() as Tick - 1);
        let slot = at as usize % self.slots.len();
        self.slots[slot].push(token);
        at
    }

    /// Takes out the tokens that are due by `now`.
    pub(super) fn turn(&mut self, now: Tick, due: &mut Vec<(Tick, Token)>) {
        // After a long sleep, each slot is passed once.
        let last = now.min(self.turned.saturating_add(self.slots.len() as Tick));
        while self.turned < last {
            self.turned += 1;
            let slot = self.turned as usize % self.slots.len();
            due.extend(self.slots[slot].drain(..).map(|token| (self.turned, token)));
            // Gives back the memory of a burst of connections.
            self.slots[slot].shrink_to(1024);
        }
        self.turned = now.max(self.turned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due(wheel: &mut Wheel, now: Tick) -> Vec<(Tick, u64)> {
        let mut due = Vec::new();
        wheel.turn(now, &mut due);
        due.into_iter().map(|(at, token)| (at, token.as_u64())).collect()
    }

    #[test]
    fn a_token_is_due_once_and_not_before_its_time() {
        let mut wheel = Wheel::for_shortest_of([15 * SECOND, 30 * SECOND, Duration::ZERO]);
        assert_eq!(wheel.tick(), SECOND);
        assert_eq!(wheel.ticks(15 * SECOND), 16);
        assert_eq!(wheel.put(Token::from_u64(7), 3), 3);
        assert_eq!(wheel.put(Token::from_u64(8), 5), 5);
        assert_eq!(due(&mut wheel, 2), []);
        assert_eq!(due(&mut wheel, 4), [(3, 7)]);
        assert_eq!(due(&mut wheel, 60), [(5, 8)], "after a long sleep");
        assert_eq!(due(&mut wheel, 200), []);
    }

    #[test]
    fn a_distant_deadline_is_looked_at_before_it() {
        let mut wheel = Wheel::for_shortest_of([15 * SECOND]);
        assert_eq!(wheel.put(Token::from_u64(7), NEVER), 15);
        assert_eq!(due(&mut wheel, 14), []);
        assert_eq!(due(&mut wheel, 15), [(15, 7)]);
        // A past one is due at the next tick.
        assert_eq!(wheel.put(Token::from_u64(7), 3), 16);
        assert_eq!(due(&mut wheel, 16), [(16, 7)]);
    }

    #[test]
    fn ticks_follow_the_shortest_deadline() {
        let tick = |times: &[Duration]| Wheel::for_shortest_of(times.iter().copied()).tick();
        assert_eq!(tick(&[]), SECOND);
        assert_eq!(tick(&[Duration::from_millis(1)]), TICK_MIN);
        assert_eq!(tick(&[SECOND, Duration::from_millis(800)]), Duration::from_millis(100));
        assert_eq!(tick(&[Duration::MAX]), SECOND);
        let wheel = Wheel::for_shortest_of([Duration::from_millis(1)]);
        assert_eq!((wheel.ticks(Duration::from_millis(1)), wheel.ticks(Duration::MAX)), (2, NEVER));
    }
}
