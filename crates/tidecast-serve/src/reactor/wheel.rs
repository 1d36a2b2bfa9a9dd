//! Deadlines in steps of a tick: a place for each tick of the near future, in which lie the tokens that are due then.
//!
//! A deadline that moves is not looked for here: a token lies at the time when it is next to be looked at, and whoever
//! looks puts it in again.

use std::time::Duration;

use super::slab::Token;

/// How many ticks it looks ahead at most.
const TICKS_MAX: u32 = 64;

const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

/// A moment, as ticks since a start. 32 bits are years of them.
pub(super) type Tick = u32;

/// A moment that never comes.
pub(super) const NEVER: Tick = Tick::MAX;

#[derive(Debug)]
pub(super) struct Wheel {
    places: Vec<Vec<Token>>,
    /// The last tick that was gone through.
    turned: Tick,
    tick: Duration,
}

impl Wheel {
    /// One that is fine enough for the shortest of these times; zeros are none.
    pub(super) fn for_shortest_of(times: impl IntoIterator<Item = Duration>) -> Self {
        let shortest = times.into_iter().filter(|time| !time.is_zero()).min().unwrap_or(TICK_MAX * TICKS_MAX);
        let tick = (shortest / 8).clamp(TICK_MIN, TICK_MAX);
        let ahead = (shortest.as_millis() / tick.as_millis()).clamp(1, u128::from(TICKS_MAX)) as usize;
        Self { places: vec![Vec::new(); ahead + 1], turned: 0, tick }
    }

    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    /// How many ticks a time is: none is over before the time is.
    pub(super) fn ticks(&self, time: Duration) -> Tick {
        let ticks = time.as_nanos().div_ceil(self.tick.as_nanos()).saturating_add(1);
        ticks.min(u128::from(NEVER)) as Tick
    }

    /// Puts a token in for a tick, or the furthest before that it has; answers with which.
    pub(super) fn put(&mut self, token: Token, at: Tick) -> Tick {
        let at = at.clamp(self.turned + 1, self.turned + self.places.len() as Tick - 1);
        let place = at as usize % self.places.len();
        self.places[place].push(token);
        at
    }

    /// Takes out what is due by now.
    pub(super) fn turn(&mut self, now: Tick, due: &mut Vec<(Tick, Token)>) {
        // After a long sleep all places have come once, which is all that there is.
        let last = now.min(self.turned.saturating_add(self.places.len() as Tick));
        while self.turned < last {
            self.turned += 1;
            let place = self.turned as usize % self.places.len();
            due.extend(self.places[place].drain(..).map(|token| (self.turned, token)));
            // A burst of connections leaves no large places behind.
            self.places[place].shrink_to(1024);
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
    fn what_is_far_is_looked_at_before() {
        let mut wheel = Wheel::for_shortest_of([15 * SECOND]);
        assert_eq!(wheel.put(Token::from_u64(7), NEVER), 15);
        assert_eq!(due(&mut wheel, 14), []);
        assert_eq!(due(&mut wheel, 15), [(15, 7)]);
        // And what is past at the next tick.
        assert_eq!(wheel.put(Token::from_u64(7), 3), 16);
        assert_eq!(due(&mut wheel, 16), [(16, 7)]);
    }

    #[test]
    fn its_ticks_follow_the_shortest_deadline() {
        let tick = |times: &[Duration]| Wheel::for_shortest_of(times.iter().copied()).tick();
        assert_eq!(tick(&[]), SECOND);
        assert_eq!(tick(&[Duration::from_millis(1)]), TICK_MIN);
        assert_eq!(tick(&[SECOND, Duration::from_millis(800)]), Duration::from_millis(100));
        assert_eq!(tick(&[Duration::MAX]), SECOND);
        let wheel = Wheel::for_shortest_of([Duration::from_millis(1)]);
        assert_eq!((wheel.ticks(Duration::from_millis(1)), wheel.ticks(Duration::MAX)), (2, NEVER));
    }
}
