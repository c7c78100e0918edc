//! What becomes of a request on its way, and the server's clock.

use std::time::Duration;

use coord_lease::{Random, engine::Effect};
use lockheed::Timestamp;

/// The fate of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// How long it takes to the server; none when it never comes there.
    pub(super) there: Option<Duration>,
    /// How long the answer takes back; none when it is lost.
    pub(super) back: Option<Duration>,
    /// The server refuses it unseen, with this effect.
    pub(super) refused: Option<Effect>,
    /// The server does it, and answers that it failed with this effect.
    pub(super) denied_after: Option<Effect>,
}

/// The fate of one watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchFate {
    /// It tells nothing from here on.
    pub(super) silent: bool,
    /// After this long it ends.
    pub(super) ends_after: Duration,
    /// With a failure of this effect, if it does not just end.
    pub(super) error: Option<Effect>,
}

/// Millis from 0 to below `below`.
pub(super) fn millis(random: &mut Random, below: u64) -> Duration {
    Duration::from_millis(random.number() % below)
}

pub(super) fn chance(random: &mut Random, percent: u64) -> bool {
    random.number() % 100 < percent
}

impl Fate {
    pub(super) fn well(random: &mut Random) -> Self {
        Self {
            there: Some(Duration::from_millis(1) + millis(random, 10)),
            back: Some(Duration::from_millis(1) + millis(random, 10)),
            refused: None,
            denied_after: None,
        }
    }

    /// While faults last.
    pub(super) fn ill(random: &mut Random, cut_off: bool) -> Self {
        let mut fate = Self::well(random);
        if chance(random, 10) {
            fate.there = Some(millis(random, 8_000));
        }
        if chance(random, 10) {
            fate.back = Some(millis(random, 8_000));
        }
        if cut_off || chance(random, 5) {
            fate.there = None;
        }
        if chance(random, 8) {
            fate.back = None;
        }
        fate.refused = chance(random, 5).then_some(Effect::None);
        fate
    }
}

impl WatchFate {
    pub(super) fn well() -> Self {
        Self {
            silent: false,
            ends_after: Duration::from_secs(3600),
            error: None,
        }
    }

    pub(super) fn ill(random: &mut Random) -> Self {
        Self {
            silent: chance(random, 20),
            ends_after: millis(random, 40_000),
            error: None,
        }
    }
}

/// Two servers, whose clocks may differ and step, by less than contenders reckon with.
#[derive(Debug)]
pub(super) struct Clocks {
    behind: [Duration; 2],
    differ: bool,
}

impl Clocks {
    pub(super) fn new(random: &mut Random, differ: bool) -> Self {
        let behind = [millis(random, 3000), millis(random, 3000)];
        Self {
            behind: if differ { behind } else { [behind[0]; 2] },
            differ,
        }
    }

    pub(super) fn step(&mut self, random: &mut Random) {
        if !self.differ {
            return;
        }
        let which = usize::from(chance(random, 50));
        self.behind[which] = millis(random, 3000);
    }

    /// In whole seconds, as a `Date` header has it.
    pub(super) fn now(&self, which: usize, at: Duration) -> Timestamp {
        let since = Duration::from_secs(1_800_000_000) + at - self.behind[which % 2];
        Timestamp::from_unix(Duration::from_secs(since.as_secs()))
    }
}
