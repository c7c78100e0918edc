//! How long to wait before a try: random, backing off, and wider the more contenders collide.

use std::time::Duration;

/// A waiter that was passed so many times more than is usual takes half of its share of the window.
const PATIENT: f64 = 8.0;

/// Whoever was passed so much more often than the last holder was passed unusually often.
const USUAL: f64 = 1.2;

/// How many slots a newcomer leaves to waiters when it finds a free lock whose last holder had to
/// wait. After that time one of the waiters has tried.
pub const ROOM: u32 = 8;

/// No round trip counts as shorter.
const SHORTEST: Duration = Duration::from_micros(100);

/// None counts as longer.
const LONGEST: Duration = Duration::from_secs(1);

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
/// Whoever waits alone does not pause. In a crowd every waiter does, and learns from its watch if
/// another was first. The pause has two parts:
///
/// - A holder that has waited says in its lease how often it was passed. A waiter that was passed
///   less often leaves that many others a quarter of a round trip each. So does, for a while,
///   whoever finds a free lock that others have waited for.
/// - A random part, which grows with the logarithm of a window. So the longer a lock is free, the
///   more of its waiters try in each moment: somebody in a crowd tries soon, and a waiter that is
///   left alone with a wide window does not wait for long. A collision widens the window, and each
///   hand-off without one narrows it. A waiter that was passed unusually often takes a smaller
///   share.
///
/// Each time a contender that has not waited acquires the lock, the waiters' pauses become half as
/// long, until one of them acquires it.
#[derive(Debug)]
pub struct ContentionWindow {
    /// About how many others may try at the same time.
    window: f64,
    /// None before anything was answered.
    round_trip: Option<Duration>,
    /// How long the lock is free before somebody has acquired it, on average.
    free_for: Option<Duration>,
    /// How often somebody else was first who had waited; none for whoever has not waited.
    passed: Option<u32>,
    /// How often the last holder was passed, as far as is known.
    turn: u32,
    /// How often in a row somebody was first who had not waited.
    jumped: i32,
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
    /// Where others are known to wait.
    const CROWD: f64 = 2.0;
    /// After a collision, at least.
    const WIDE: f64 = 16.0;
    /// Enough for hundreds; a wider one would let those who came later pass for ever.
    const WIDEST: f64 = 1000.0;
    /// What each waiter is left that was passed once more often, in round trips.
    const SLOT: f64 = 0.25;
    /// How long the random part is, in round trips, for each factor of e in the window. Less is
    /// faster, and costs writes.
    const SPREAD: f64 = 2.25;
    /// If the lock was free for more round trips than this, fewer contenders wait than the window
    /// assumes.
    const EMPTY: u32 = 6;
    /// A holder that was passed less often than those before it was lucky: with each of them, one
    /// part in so many of what is known is forgotten. Those who have waited longest are still
    /// there.
    const FORGOTTEN: u32 = 8;
    /// More than any crowd needs. A lease is somebody's word, and nobody may put others off for ever.
    const MOST_PASSED: u32 = 1000;
    /// Enough for a write, and for the watch of whoever is next to tell of it.
    const TURN: Duration = Duration::from_millis(100);
    /// After as many, a pause is next to nothing.
    const MOST_JUMPED: i32 = 10;

    /// Alone, so far.
    #[must_use]
    pub fn new() -> Self {
        Self {
            window: 0.0,
            round_trip: None,
            free_for: None,
            passed: None,
            turn: 0,
            jumped: 0,
        }
    }

    /// How often somebody else was first who had waited too; none for whoever has not waited.
    #[must_use]
    pub fn passed(&self) -> Option<u32> {
        self.passed
    }

    /// A request was answered after this long. One slow answer says little about the next ones, and
    /// the first makes the connection too.
    pub fn answered_after(&mut self, took: Duration) {
        let took = took.clamp(SHORTEST, LONGEST);
        self.round_trip = Some(match self.round_trip {
            None => took,
            Some(before) if took < before => (before + took * 3) / 4,
            Some(before) => (before * 7 + took.min(before * 2)) / 8,
        });
    }

    /// Others tried as well, and one of them was first.
    pub fn collided(&mut self) {
        self.is_passed();
        self.window = (self.window * 4.0).clamp(Self::WIDE, Self::WIDEST);
    }

    /// The lock was held already, by somebody who says how often it was passed, if it has waited.
    pub fn found_held(&mut self, turn: Option<u32>) {
        self.passed.get_or_insert_default();
        let Some(turn) = turn else { return };
        self.turn = turn.min(Self::MOST_PASSED);
        self.window = self.window.max(Self::CROWD);
    }

    /// The lock is free, and others may wait for it: as many have a slot each before this
    /// contender.
    pub fn found_free(&mut self, room: u32) {
        self.turn = room.min(ROOM);
    }

    /// Somebody else acquired the lock so long after it had become free, and says how often it was
    /// passed. Who says nothing has not waited, and tells nothing of those who do. No round trip is
    /// longer than that time is on average; one that was measured on a busy machine does not count.
    pub fn spared(&mut self, after: Duration, turn: Option<u32>) {
        let counted = after.clamp(SHORTEST, LONGEST);
        self.free_for = Some(match self.free_for {
            None => counted,
            Some(before) => (before * 7 + counted) / 8,
        });
        let Some(turn) = turn else {
            self.jumped = (self.jumped + 1).min(Self::MOST_JUMPED);
            return;
        };
        self.jumped = 0;
        self.is_passed();
        let less = self.turn - self.turn.div_ceil(Self::FORGOTTEN);
        self.turn = turn.clamp(less, Self::MOST_PASSED);
        self.window *= match self.window {
            wide if wide > Self::CROWD && after > self.round_trip() * Self::EMPTY => 0.5,
            wide if wide > 16.0 => 0.995,
            wide if wide > 4.0 => 0.95,
            wide if wide > 1.0 => 0.7,
            _ => 0.0,
        };
    }

    /// How long each of those who come first has for its write, before the next one takes it not to
    /// come.
    #[must_use]
    pub fn turn_length(&self) -> Duration {
        let round_trip = self.round_trip.unwrap_or_default();
        Self::TURN.max(round_trip * 4)
    }

    fn round_trip(&self) -> Duration {
        let known = [self.round_trip, self.free_for].into_iter().flatten();
        known.min().unwrap_or(Duration::from_millis(1))
    }

    fn is_passed(&mut self) {
        *self.passed.get_or_insert_default() += 1;
    }

    /// How long to wait before a try.
    pub fn pause(&self, random: &mut Random) -> Duration {
        let passed = self.passed.unwrap_or_default();
        let before = f64::from(self.turn.saturating_sub(passed));
        let overdue = f64::from(passed) - USUAL * f64::from(self.turn);
        let share = random.fraction() / (1.0 + overdue.max(0.0) / PATIENT);
        let round_trip = self.round_trip();
        let trips = Self::SLOT * before + Self::SPREAD * (self.window * share).ln_1p();
        let pause = round_trip.mul_f64(trips * 0.5_f64.powi(self.jumped));
        pause.min(Duration::from_secs(5))
    }
}

impl Default for ContentionWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
