//! How long to wait before a try: at random, longer after failures, and longer the more contenders
//! collide.

use std::time::Duration;

/// A waiter that was passed this many times more than usual takes half of its share of the window.
const PATIENT: f64 = 8.0;

/// A waiter that was passed this many times as often as the last holder was passed unusually often.
const USUAL: f64 = 1.2;

/// How many slots a newcomer leaves to waiters when it finds a free lock whose last holder had to
/// wait. After that time, one of the waiters has tried.
pub const ROOM: u32 = 8;

/// The shortest round trip that counts; faster ones count as this.
const SHORTEST: Duration = Duration::from_micros(100);

/// The longest round trip that counts; slower ones count as this.
const LONGEST: Duration = Duration::from_secs(1);

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and reproducible from a seed.
#[derive(Debug)]
pub struct Random(u64);

/// Pauses after failures, each about twice as long as the one before.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

/// How long to wait before a try when a lock becomes free. Of many waiters few try at once, and
/// those that have waited longest try first.
///
/// A contender that waits alone does not pause. In a crowd every waiter pauses, and sees in its
/// watch if another was first. The pause has two parts:
///
/// - A part for those who come first. A holder that has waited says in its lease how often it was
///   passed. A waiter that was passed less often waits a quarter of a round trip for each time of
///   the difference. So does, for a while, a newcomer that finds a free lock that others have
///   waited for.
/// - A random part, which grows with the logarithm of a window. The longer a lock is free, the more
///   of its waiters try in each moment. So somebody in a crowd tries soon, and a waiter that is
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
    /// None before the first answer.
    round_trip: Option<Duration>,
    /// How long the lock is free before somebody acquires it, on average.
    free_for: Option<Duration>,
    /// How often another waiter was first; none for a contender that has not waited.
    passed: Option<u32>,
    /// How often the last holder was passed, as far as known.
    turn: u32,
    /// How many times in a row somebody was first that had not waited.
    jumped: i32,
}

impl Random {
    /// Starts from a seed, which should differ from process to process.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number between zero and one.
    pub fn fraction(&mut self) -> f64 {
        // The upper 32 bits fit a double exactly.
        f64::from(u32::try_from(self.number() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);

    /// Pauses from 50 ms up to this long.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Self {
            next: Self::FIRST.min(most),
            most,
        }
    }

    /// The next pause. It is at least as long as the store asked for, but not longer than the
    /// longest pause because of that.
    pub fn pause(&mut self, random: &mut Random, wanted: Option<Duration>) -> Duration {
        let pause = self.next.mul_f64(0.5 + random.fraction());
        self.next = (self.next * 2).min(self.most);
        pause.max(wanted.unwrap_or_default().min(self.most))
    }

    /// The next pause is about this long at most.
    pub fn shorten(&mut self, longest: Duration) {
        self.next = self.next.min(longest);
    }

    /// After a success, the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = Self::FIRST.min(self.most);
    }
}

impl ContentionWindow {
    /// The window where others are known to wait.
    const CROWD: f64 = 2.0;
    /// The smallest window after a collision.
    const WIDE: f64 = 16.0;
    /// The largest window, enough for hundreds. A wider one would let newcomers pass waiters
    /// forever.
    const WIDEST: f64 = 1000.0;
    /// The time for each waiter that was passed once more often, in round trips.
    const SLOT: f64 = 0.25;
    /// The length of the random part, in round trips, for each factor of e in the window. A smaller
    /// value is faster, but costs writes.
    const SPREAD: f64 = 2.25;
    /// If the lock was free for more round trips than this, fewer contenders wait than the window
    /// assumes.
    const EMPTY: u32 = 6;
    /// A holder that was passed less often than those before it was lucky. Each such holder makes
    /// the waiter forget one part in this many of what it knows, since those who have waited
    /// longest are still there.
    const FORGOTTEN: u32 = 8;
    /// More than any crowd needs. The number comes from others' leases, and nobody may put others
    /// off forever.
    const MOST_PASSED: u32 = 1000;
    /// Enough for a write, and for the next waiter's watch to report it.
    const TURN: Duration = Duration::from_millis(100);
    /// After this many, a pause is almost zero.
    const MOST_JUMPED: i32 = 10;

    /// A contender that is alone so far.
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

    /// How often another waiter was first; none for a contender that has not waited.
    #[must_use]
    pub fn passed(&self) -> Option<u32> {
        self.passed
    }

    /// A request was answered after this long. One slow answer says little about the next ones, and
    /// the first answer includes setting up the connection.
    pub fn answered_after(&mut self, took: Duration) {
        let took = took.clamp(SHORTEST, LONGEST);
        self.round_trip = Some(match self.round_trip {
            None => took,
            Some(before) if took < before => (before + took * 3) / 4,
            Some(before) => (before * 7 + took.min(before * 2)) / 8,
        });
    }

    /// Others tried too, and one of them was first.
    pub fn collided(&mut self) {
        self.is_passed();
        self.window = (self.window * 4.0).clamp(Self::WIDE, Self::WIDEST);
    }

    /// The lock was already held, and its holder says how often it was passed, if it has waited.
    pub fn found_held(&mut self, turn: Option<u32>) {
        self.passed.get_or_insert_default();
        let Some(turn) = turn else { return };
        self.turn = turn.min(Self::MOST_PASSED);
        self.window = self.window.max(Self::CROWD);
    }

    /// The lock is free, and others may be waiting: this many of them get a slot each before this
    /// contender.
    pub fn found_free(&mut self, room: u32) {
        self.turn = room.min(ROOM);
    }

    /// Somebody else acquired the lock this long after it had become free, and says how often it
    /// was passed. A holder that says nothing has not waited, and tells nothing about the waiters.
    /// On average, a round trip is no longer than that time, so a longer one measured on a busy
    /// machine does not count.
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

    /// How long each contender ahead has for its write, before the next one assumes that it will
    /// not come.
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
