//! How long to wait before a try: random, backing off, and wider the more contenders collide.

use std::time::Duration;

/// A waiter that was passed as often as the last holder, and so many times more, waits a quarter of
/// its window.
const PATIENT: f64 = 8.0;

/// No round trip counts as shorter.
const SHORTEST: Duration = Duration::from_micros(100);

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and the same from the same seed.
#[derive(Debug)]
pub struct Random(u64);

/// The pauses after failures, each about twice as long as the one before.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

/// How long to wait before a try when a lock becomes free, so that of many waiters few try at once,
/// and those first who have waited longest.
///
/// Every waiter pauses, and learns from its watch if another was first. The pause has two parts:
///
/// - A holder says in its lease how often it was passed before. A waiter that was passed less often
///   leaves that many others half a round trip each.
/// - A random share of a window. A collision makes the window four times as wide, and each hand-off
///   without one narrows it. The more often a waiter was passed, the smaller is its share.
#[derive(Debug)]
pub struct ContentionWindow {
    /// In round trips.
    window: f64,
    /// None before anything was answered.
    round_trip: Option<Duration>,
    /// How often somebody else was first.
    passed: u32,
    /// How often the last holder was passed, as far as is known.
    turn: u32,
}

impl Random {
    /// From a seed, which should differ from process to process.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From zero to one.
    pub fn fraction(&mut self) -> f64 {
        // The upper 32 bits fit a double exactly.
        f64::from(u32::try_from(self.number() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);

    /// From 50 ms to this long.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Self {
            next: Self::FIRST.min(most),
            most,
        }
    }

    /// The next pause, at least as long as the store asked for, if that is not absurd.
    pub fn pause(&mut self, random: &mut Random, wanted: Option<Duration>) -> Duration {
        let pause = self.next.mul_f64(0.5 + random.fraction());
        self.next = (self.next * 2).min(self.most);
        pause.max(wanted.unwrap_or_default().min(self.most))
    }

    /// It went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = Self::FIRST.min(self.most);
    }
}

impl ContentionWindow {
    const FIRST: f64 = 2.0;
    /// Enough for hundreds; a wider one would let those who came later pass for ever.
    const WIDEST: f64 = 1000.0;
    /// What each waiter is left that was passed once more often, in round trips.
    const SLOT: f64 = 0.5;
    /// With each holder that says nothing, one part in so many of `turn` is forgotten. Forgetting
    /// faster costs writes: a releaser that comes back at once says nothing either, and those who
    /// have waited longest are still there.
    const FORGOTTEN: u32 = 8;
    /// More than any crowd needs. A lease is somebody's word, and nobody may put others off for ever.
    const MOST_PASSED: u32 = 1000;

    /// Alone, so far.
    #[must_use]
    pub fn new() -> Self {
        Self {
            window: Self::FIRST,
            round_trip: None,
            passed: 0,
            turn: 0,
        }
    }

    /// How often somebody else was first.
    #[must_use]
    pub fn passed(&self) -> u32 {
        self.passed
    }

    /// A request was answered after this long. One slow answer says little about the next ones.
    pub fn answered_after(&mut self, took: Duration) {
        let took = took.clamp(SHORTEST, Duration::from_secs(1));
        self.round_trip = Some(match self.round_trip {
            None => took,
            Some(before) if took < before => (before + took) / 2,
            Some(before) => (before * 3 + took.min(before * 2)) / 4,
        });
    }

    /// Others tried as well, and one of them was first.
    pub fn collided(&mut self) {
        self.window = (self.window * 4.0).min(Self::WIDEST);
    }

    /// Somebody else acquired the lock so long after it had become free, and says how often it was
    /// passed. Who says nothing has not waited, or is another program: what was known before counts
    /// less and less. A round trip that is much longer than that time was measured in worse days, and
    /// is halved, or this waiter would never get its turn.
    pub fn spared(&mut self, after: Duration, turn: Option<u32>) {
        self.passed += 1;
        self.turn = match turn {
            Some(turn) => turn.min(Self::MOST_PASSED),
            None => self.turn - self.turn.div_ceil(Self::FORGOTTEN),
        };
        let most = after.max(SHORTEST) * 8;
        let halved = |known| if known > most { known / 2 } else { known };
        self.round_trip = self.round_trip.map(halved);
        let narrower = match self.window {
            wide if wide > 16.0 => 0.998,
            wide if wide > 4.0 => 0.97,
            _ => 0.7,
        };
        self.window = (self.window * narrower).max(0.5);
    }

    /// How long to wait before a try.
    pub fn pause(&self, random: &mut Random) -> Duration {
        let before = f64::from(self.turn.saturating_sub(self.passed));
        let overdue = f64::from(self.passed) / (f64::from(self.turn) + PATIENT);
        let share = random.fraction() / (1.0 + overdue).powi(2);
        let round_trip = self.round_trip.unwrap_or(Duration::from_millis(1));
        let pause = round_trip.mul_f64(Self::SLOT * before + self.window * share);
        pause.min(Duration::from_secs(5))
    }
}

impl Default for ContentionWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_again() {
        let (mut random, mut backoff) = (Random::new(1), Backoff::new(Duration::from_secs(1)));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause(&mut random, None)).collect();
        assert!(pauses[0] < Duration::from_millis(76) && pauses[0] >= Duration::from_millis(25));
        assert!(
            pauses[9] >= Duration::from_millis(500) && pauses[9] <= Duration::from_millis(1500)
        );
        backoff.reset();
        assert!(backoff.pause(&mut random, None) < Duration::from_millis(76));
        let asked = backoff.pause(&mut random, Some(Duration::from_secs(3600)));
        assert_eq!(asked, Duration::from_secs(1));
    }

    /// The longest pause of a few.
    fn longest(window: &ContentionWindow) -> Duration {
        let mut random = Random::new(1);
        let pauses = (0..100).map(|_| window.pause(&mut random));
        pauses.max().unwrap()
    }

    #[test]
    fn who_was_passed_more_often_tries_first() {
        let round_trip = Duration::from_millis(10);
        let passed = |times: u32, turn| {
            let mut window = ContentionWindow::new();
            window.answered_after(round_trip);
            for _ in 0..times {
                window.spared(round_trip, Some(turn));
            }
            window
        };
        let mut random = Random::new(1);
        let newcomer = passed(1, 40).pause(&mut random);
        assert!(newcomer > longest(&passed(40, 40)), "{newcomer:?}");
        assert!(longest(&passed(80, 40)) < longest(&passed(40, 40)));
    }

    #[test]
    fn nobodys_word_puts_a_waiter_off_for_long() {
        let round_trip = Duration::from_millis(1);
        let mut window = ContentionWindow::new();
        window.answered_after(round_trip);
        window.spared(round_trip, Some(u32::MAX));
        assert!(longest(&window) <= Duration::from_secs(1), "{window:?}");
        // Those who come after it have not waited.
        for _ in 0..60 {
            window.spared(round_trip, None);
        }
        assert!(longest(&window) <= round_trip * 2, "{window:?}");
    }

    #[test]
    fn one_slow_answer_does_not_spread_all_tries_to_come() {
        let mut window = ContentionWindow::new();
        for millis in [10, 10, 8_000, 10] {
            window.answered_after(Duration::from_millis(millis));
        }
        assert!(longest(&window) < Duration::from_millis(40), "{window:?}");
    }

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.number(), random.number(), random.number()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
