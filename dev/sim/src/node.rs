//! One of our contenders: the real engine, and what it does with the lock.

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::{
    Random,
    engine::{Engine, Goal, Settings, Wait},
};

use super::{
    Flaw,
    broken::Broken,
    event::Tag,
    game::{Game, InputOf, Lock, SubjectOf, at},
    network::millis,
};

pub(super) struct Node<G: Game> {
    pub(super) number: usize,
    /// How often it has started; each time it has another ID.
    pub(super) life: u32,
    pub(super) engine: Option<Engine<Lock<G>>>,
    /// Its `CLOCK_BOOTTIME` when the world began.
    offset: Duration,
    pub(super) length: Duration,
    pub(super) timeout: Duration,
    /// Only the answer to the latest request counts, and only the latest watch.
    pub(super) request: u64,
    pub(super) watch: u64,
    /// The latest watch of the subject, and the subject.
    pub(super) subject_watch: u64,
    pub(super) subject: Option<SubjectOf<G>>,
    /// How far that watch lags.
    pub(super) subject_lag: Duration,
    /// Only the latest alarm counts.
    pub(super) alarm: u64,
    pub(super) paused_until: Option<Duration>,
    /// What arrived while it was paused.
    pub(super) inbox: Vec<(Tag, InputOf<G>)>,
    pub(super) cut_off_until: Duration,
    /// Its credentials are not accepted until then.
    pub(super) refused_until: Duration,
    pub(super) served: bool,
}

impl<G: Game> Node<G> {
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
            subject_watch: 0,
            subject: None,
            subject_lag: Duration::ZERO,
            alarm: 0,
            paused_until: None,
            inbox: Vec::new(),
            cut_off_until: Duration::ZERO,
            refused_until: Duration::ZERO,
            served: false,
        }
    }

    /// Its ID in this life.
    pub(super) fn id(&self) -> String {
        format!("node{}-{}", self.number, self.life)
    }

    /// The time on its own clock.
    pub(super) fn boot(&self, at: Duration) -> BootInstant {
        BootInstant::after_boot(self.offset + at)
    }

    /// When its own clock shows this time.
    pub(super) fn time_of(&self, boot: BootInstant) -> Duration {
        boot.since_boot().saturating_sub(self.offset)
    }

    /// Whether this input still counts; an answer counts once.
    pub(super) fn expects(&mut self, tag: Tag) -> bool {
        let expected = match tag {
            Tag::Request(number) => number == self.request,
            Tag::Watch(number) => number == self.watch,
            Tag::SubjectWatch(number) => number == self.subject_watch,
            Tag::Alarm(number) => number == self.alarm,
            Tag::None => true,
        };
        if expected && matches!(tag, Tag::Request(_)) {
            self.request += 1;
        }
        expected
    }

    /// Forgets everything.
    pub(super) fn die(&mut self) {
        self.engine = None;
        self.life += 1;
        self.inbox.clear();
    }

    /// Starts a new life, and wants the lock.
    pub(super) fn begin(
        &mut self,
        game: &G,
        now: Duration,
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
        self.subject_watch += 1;
        self.subject = None;
        self.inbox.clear();
        let wait = match random.number() % 4 {
            _ if calm => Wait::Forever,
            0 => Wait::For(millis(random, 20_000)),
            1 => Wait::No,
            _ => Wait::Forever,
        };
        let settings = Settings {
            goal: Goal::Acquire,
            length: Some(self.length),
            renew_interval: Some(self.length / 3),
            wait,
        };
        let contender = game.contender(self.number, &self.id(), self.length);
        let lock = Broken::new(contender, flaw);
        let now = at(self.boot(now));
        self.engine = Some(Engine::new(lock, settings, now, random.number()));
    }
}
