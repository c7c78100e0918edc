//! What happens to a request on its way, and the server's clock.

use std::{fmt, time::Duration};

use coord_lease::{Random, engine::Effect};
use lockheed::Timestamp;

use super::faults::Faults;

/// The longest way there or back without faults.
pub(super) const LONGEST: Duration = Duration::from_millis(11);

/// The fate of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// How long it takes to reach the server; none if it never does.
    pub(super) there: Option<Duration>,
    /// How long the answer takes; none if it is lost.
    pub(super) back: Option<Duration>,
    /// The server refuses it without looking, with this effect.
    pub(super) refused: Option<Effect>,
    /// The server does it, and answers that it failed with this effect.
    pub(super) denied_after: Option<Effect>,
    /// Something in between sends it again, this long after the first time.
    pub(super) again: Option<Duration>,
    /// This is the second time.
    pub(super) doubled: bool,
}

/// The fate of one watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchFate {
    /// It reports nothing from now on.
    pub(super) silent: bool,
    /// How far it lags behind the writes.
    pub(super) lag: Duration,
    /// It ends after this long.
    pub(super) ends_after: Duration,
    /// It ends with a failure of this effect, if it does not just end.
    pub(super) error: Option<Effect>,
}

/// A number of milliseconds below `below`.
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
            again: None,
            doubled: false,
        }
    }

    /// A fate with faults. It always draws the same amount of random numbers.
    pub(super) fn ill(random: &mut Random, faults: &mut Faults, cut_off: bool) -> Self {
        let mut fate = Self::well(random);
        let [late_there, late_back, again] =
            [8_000, 8_000, 3_000].map(|below| millis(random, below));
        if faults.strike(random, 10) {
            fate.there = Some(late_there);
        }
        if faults.strike(random, 10) {
            fate.back = Some(late_back);
        }
        if faults.strike(random, 5) || cut_off {
            fate.there = None;
        }
        if faults.strike(random, 8) {
            fate.back = None;
        }
        fate.refused = faults.strike(random, 5).then_some(Effect::None);
        fate.again = faults.strike(random, 3).then_some(again);
        fate
    }
}

/// Describes the faults.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Vec::new();
        match self.there {
            None => all.push("does not arrive".to_owned()),
            Some(there) if there > LONGEST => all.push(format!("arrives after {there:?}")),
            Some(_) => {}
        }
        if let Some(effect) = self.refused {
            all.push(format!("is refused ({effect:?})"));
        }
        if let Some(again) = self.again {
            all.push(format!("arrives again {again:?} later"));
        }
        match self.back {
            None => all.push("is not answered".to_owned()),
            Some(back) if back > LONGEST => all.push(format!("is answered after {back:?}")),
            Some(_) => {}
        }
        if let Some(effect) = self.denied_after {
            all.push(format!("is done, and denied ({effect:?})"));
        }
        f.write_str(&all.join(", "))
    }
}

impl WatchFate {
    pub(super) fn well() -> Self {
        Self {
            silent: false,
            lag: Duration::ZERO,
            ends_after: Duration::from_secs(3600),
            error: None,
        }
    }

    pub(super) fn ill(random: &mut Random, faults: &mut Faults) -> Self {
        let (lag, ends_after) = (millis(random, 5_000), millis(random, 40_000));
        let lags = faults.strike(random, 15);
        Self {
            silent: faults.strike(random, 20),
            lag: if lags { lag } else { Duration::ZERO },
            ends_after,
            error: None,
        }
    }
}

/// Two servers, whose clocks may differ and step, by less than contenders expect.
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

    /// The time in whole seconds, as in a `Date` header.
    pub(super) fn now(&self, which: usize, at: Duration) -> Timestamp {
        let since = Duration::from_secs(1_800_000_000) + at - self.behind[which % 2];
        Timestamp::from_unix(Duration::from_secs(since.as_secs()))
    }
}
