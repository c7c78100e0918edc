//! A contender of ours: the real engine, and what it does with the lock.

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::{
    Random,
    engine::{Engine, Goal, Moment, Settings, Wait},
};
use lockheed::{
    LockName,
    protocol::{Contender, Mutex, Skew},
};

use super::{Flaw, SKEW, broken::Broken, network::millis, world::Tag};

/// What the engine is told.
pub(super) type Input = coord_lease::engine::Input<Broken>;

pub(super) struct Node {
    pub(super) number: usize,
    /// How often it has begun; each time it is somebody else.
    pub(super) life: u32,
    pub(super) engine: Option<Engine<Broken>>,
    /// Its `CLOCK_BOOTTIME` when the world began.
    offset: Duration,
    pub(super) length: Duration,
    pub(super) timeout: Duration,
    /// Only the answer to the last request counts, and only of the last watch.
    pub(super) request: u64,
    pub(super) watch: u64,
    /// Only the last alarm counts.
    pub(super) alarm: u64,
    pub(super) paused_until: Option<Duration>,
    /// What came while it was paused.
    pub(super) inbox: Vec<(Tag, Input)>,
    pub(super) cut_off_until: Duration,
    pub(super) served: bool,
}

impl Node {
    pub(super) fn new(number: usize, random: &mut Random) -> Self {
        let length = Duration::from_millis(2000) + millis(random, 8000);
        Self {
            number,
            life: 0,
            engine: None,
            offset: Duration::from_secs(1000) + millis(random, 1_000_000_000),
            length,
            timeout: length / 6,
            request: 0,
            watch: 0,
            alarm: 0,
            paused_until: None,
            inbox: Vec::new(),
            cut_off_until: Duration::ZERO,
            served: false,
        }
    }

    /// Who it is in this life.
    pub(super) fn id(&self) -> String {
        format!("node{}-{}", self.number, self.life)
    }

    /// Its own clock.
    pub(super) fn boot(&self, at: Duration) -> BootInstant {
        BootInstant::after_boot(self.offset + at)
    }

    /// The time at which its own clock shows this.
    pub(super) fn time_of(&self, boot: BootInstant) -> Duration {
        boot.since_boot().saturating_sub(self.offset)
    }

    /// Whether this still counts; an answer counts once.
    pub(super) fn expects(&mut self, tag: Tag) -> bool {
        let expected = match tag {
            Tag::Request(number) => number == self.request,
            Tag::Watch(number) => number == self.watch,
            Tag::Alarm(number) => number == self.alarm,
            Tag::None => true,
        };
        if expected && matches!(tag, Tag::Request(_)) {
            self.request += 1;
        }
        expected
    }

    /// Everything it knew is gone.
    pub(super) fn die(&mut self) {
        self.engine = None;
        self.life += 1;
        self.inbox.clear();
    }

    /// Begins a new life, and wants the lock.
    pub(super) fn begin(
        &mut self,
        name: &LockName,
        at: Duration,
        flaw: Option<Flaw>,
        calm: bool,
        random: &mut Random,
    ) {
        if self.engine.is_some() {
            return;
        }
        self.life += 1;
        self.request += 1;
        self.watch += 1;
        self.inbox.clear();
        let wait = match random.number() % 4 {
            _ if calm => Wait::Forever,
            0 => Wait::For(millis(random, 20_000)),
            1 => Wait::No,
            _ => Wait::Forever,
        };
        let contender = Contender {
            name: name.clone(),
            id: self.id(),
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            skew: Skew {
                without_length: SKEW,
                at_first_sight: Some(SKEW),
            },
            alive: None,
        };
        let settings = Settings {
            goal: Goal::Acquire,
            length: Some(self.length),
            renew_interval: Some(self.length / 3),
            wait,
        };
        let lock = Broken::new(Mutex::new(contender), flaw);
        let now = Moment::new(self.boot(at));
        self.engine = Some(Engine::new(lock, settings, now, random.number()));
    }
}
