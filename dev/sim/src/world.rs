//! The world: what happens, and when.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range, time::Duration};

use coord_core::BootInstant;
use coord_lease::{
    Random, Version,
    engine::{Event as News, Input, Output},
};

use super::{
    FAULTS_END, Flaw, Kind, Outcome, SERVED_BY,
    check::{Check, Violation, violated},
    event::{Event, Request, Tag},
    faults::{Faults, LeftOut},
    game::{Game, InputOf, OutputOf, StoredOf},
    network::{Clocks, WatchFate, chance, millis},
    node::Node,
    objects::Objects,
    outage::{Counts, Outage},
    trace::Line,
};

/// More events than any history needs: reaching this means a hot loop.
const MOST: u64 = 2_000_000;

pub(super) struct World<G: Game> {
    pub(super) game: G,
    pub(super) random: Random,
    pub(super) flaw: Option<Flaw>,
    pub(super) now: Duration,
    /// By time, and in the order in which they were scheduled.
    pub(super) events: BTreeMap<Reverse<(Duration, u64)>, Box<Event<G>>>,
    pub(super) put_down: u64,
    pub(super) objects: Objects<StoredOf<G>>,
    pub(super) clocks: Clocks,
    pub(super) nodes: Vec<Node<G>>,
    pub(super) goes: Vec<G::Foreign>,
    pub(super) watches: Vec<Watching>,
    pub(super) check: Check,
    pub(super) outcome: Outcome,
    pub(super) traced: bool,
    pub(super) faults_end: Duration,
    /// Everybody always wants the lock.
    pub(super) eager: bool,
    /// The longest time for which it is held without faults.
    pub(super) longest_hold: Duration,
    pub(super) outage: Option<(Outage, Range<Duration>)>,
    pub(super) faults: Faults,
    /// A contender that has had the lock leaves.
    pub(super) ends: bool,
    pub(super) counts: Counts,
    /// Writes that nodes sent.
    pub(super) writes: u64,
    pub(super) freed_at: Option<Duration>,
    /// How long the lock was free each time before somebody acquired it.
    pub(super) hand_offs: Vec<Duration>,
    /// The node that held the lock last.
    pub(super) last_holder: String,
    /// How often it was handed on to another node.
    pub(super) handed_on: usize,
}

/// A watch at the server.
pub(super) struct Watching {
    pub(super) node: usize,
    pub(super) number: u64,
    /// Only later versions are reported.
    pub(super) since: Option<Version>,
    pub(super) last: Duration,
    pub(super) fate: WatchFate,
}

impl<G: Game> World<G> {
    pub(super) fn new(
        kind: Kind,
        seed: u64,
        flaw: Option<Flaw>,
        traced: bool,
        left_out: &LeftOut,
    ) -> Self {
        let mut random = Random::new(seed);
        let nodes =
            2 + usize::from(chance(&mut random, 60)) * 2 + usize::from(chance(&mut random, 30)) * 2;
        let nodes = nodes.saturating_sub(left_out.nodes).max(1);
        let nodes = (0..nodes)
            .map(|number| Node::new(number, &mut random))
            .collect();
        let goes = G::foreign(&mut random).into_iter().collect();
        let clocks = Clocks::new(&mut random, G::CLOCKS_DIFFER);
        Self {
            game: G::new(kind),
            random,
            flaw,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            put_down: 0,
            objects: Objects::new(),
            clocks,
            nodes,
            goes,
            watches: Vec::new(),
            check: Check::new(G::mode(kind)),
            outcome: Outcome {
                violation: None,
                acquired: 0,
                lost: 0,
                requests: 0,
                faults: 0,
                digest: 0xcbf2_9ce4_8422_2325,
                trace: Vec::new(),
            },
            traced,
            faults_end: FAULTS_END,
            eager: false,
            longest_hold: Duration::from_secs(2),
            outage: None,
            faults: Faults::without(left_out),
            ends: false,
            counts: Counts::default(),
            writes: 0,
            freed_at: None,
            hand_offs: Vec::new(),
            last_holder: String::new(),
            handed_on: 0,
        }
    }

    pub(super) fn outcome(mut self, violation: Option<Violation>) -> Outcome {
        self.outcome.violation = violation;
        self.outcome.faults = self.faults.count();
        self.outcome
    }

    /// Runs from the beginning to the end, or to the first broken promise.
    pub(super) fn play(&mut self) -> Result<(), Violation> {
        self.begin_all(Duration::from_secs(3));
        for go in 0..self.goes.len() {
            self.put(Duration::from_secs(1), Event::GoStep(go, 0));
        }
        self.put(Duration::from_secs(1), Event::Fault);
        self.put(Duration::from_secs(5), Event::Tidy);
        while let Some(at) = self.step()? {
            if at >= SERVED_BY {
                return self.starving();
            }
            if at > self.faults_end + Duration::from_secs(40) && self.unserved().is_empty() {
                return Ok(());
            }
        }
        violated(self.now, "nothing happens any more".to_owned())
    }

    /// Everybody starts within this time.
    pub(super) fn begin_all(&mut self, within: Duration) {
        for node in 0..self.nodes.len() {
            let share = self.random.fraction();
            self.put(within.mul_f64(share), Event::Begin(node));
        }
    }

    /// Runs the next event and returns its time; none if there are no more events.
    pub(super) fn step(&mut self) -> Result<Option<Duration>, Violation> {
        let Some((Reverse((at, _)), event)) = self.events.pop_last() else {
            return Ok(None);
        };
        self.now = at;
        if self.put_down > MOST {
            return violated(at, "somebody spins".to_owned());
        }
        self.happen(*event)?;
        Ok(Some(at))
    }

    pub(super) fn starving<T>(&self) -> Result<T, Violation> {
        let unserved = self.unserved();
        let what = format!("not served long after faults have stopped: {unserved:?}");
        violated(self.now, what)
    }

    pub(super) fn unserved(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|node| !node.served)
            .map(Node::id)
            .collect()
    }

    pub(super) fn faulty(&self) -> bool {
        self.now < self.faults_end
    }

    fn happen(&mut self, event: Event<G>) -> Result<(), Violation> {
        match event {
            Event::Begin(node) => self.begin(node)?,
            Event::Arrive {
                node,
                life,
                number,
                request,
                fate,
                restored,
            } => {
                if restored == self.objects.restored() {
                    self.serve(node, life, number, request, fate)?;
                }
            }
            Event::WatchArrives {
                node,
                life,
                number,
                since,
            } => self.watch(node, life, number, since.as_ref()),
            Event::Deliver {
                node,
                life,
                tag,
                input,
            } => self.deliver(node, life, tag, input)?,
            Event::Resume(node) => self.resume(node)?,
            Event::Crash(node, life) => self.crash(node, life),
            Event::Fault => self.inject_fault(),
            Event::GoStep(go, life) => self.go(go, life),
            Event::GoArrives(write) => self.serve_go(write)?,
            Event::GoAnswer(go, id, answer) => self.answer_go(go, &id, answer)?,
            Event::Tidy => self.tidy(),
        }
        Ok(())
    }

    fn begin(&mut self, number: usize) -> Result<(), Violation> {
        let (flaw, calm) = (self.flaw, !self.faulty());
        let node = &mut self.nodes[number];
        node.begin(&self.game, self.now, flaw, calm, &mut self.random);
        let life = node.life;
        self.handle(number, life, Tag::None, Input::Time)
    }

    /// Delivers an input to the node: never to a later life, and only after a pause.
    fn deliver(
        &mut self,
        number: usize,
        life: u32,
        tag: Tag,
        input: InputOf<G>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[number];
        if node.life == life && node.paused_until.is_some() {
            node.inbox.push((tag, input));
            return Ok(());
        }
        self.handle(number, life, tag, input)
    }

    pub(super) fn handle(
        &mut self,
        number: usize,
        life: u32,
        tag: Tag,
        input: InputOf<G>,
    ) -> Result<(), Violation> {
        let now = self.now;
        let node = &mut self.nodes[number];
        if node.life != life || !node.expects(tag) {
            return Ok(());
        }
        let boot = node.boot(now);
        let (id, sent) = (node.id(), node.request);
        let Some(engine) = &mut node.engine else {
            return Ok(());
        };
        let releases = matches!(input, Input::Release);
        if matches!(input, Input::SubjectWatchEnded(_)) {
            node.subject = None;
        }
        if matches!(input, Input::Changed(_)) {
            self.check.is_taken(&id, sent);
        }
        let line = self
            .traced
            .then(|| Line::Detail(format!("{now:?} {id} <- {input:?}")));
        engine.handle(input, boot);
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll()).collect();
        let (wake, done) = (engine.wake_at(), engine.is_done());
        if releases {
            self.check.ended(&id);
        }
        self.note(number, line);
        if self.flaw == Some(Flaw::ForgetInFlight)
            && outputs
                .iter()
                .any(|output| matches!(output, Output::Abandon))
        {
            return self.forget(number);
        }
        for output in outputs {
            self.act(number, life, output)?;
        }
        self.set_alarm(number, wake);
        if done {
            self.begin_again(number);
        }
        Ok(())
    }

    fn begin_again(&mut self, number: usize) {
        self.nodes[number].engine = None;
        if self.ends && self.nodes[number].served {
            return;
        }
        let longest = if self.eager { 5 } else { 3000 };
        let after = Duration::from_millis(1) + millis(&mut self.random, longest);
        self.put(after, Event::Begin(number));
    }

    /// It gives up at once, and says that nothing of it is left.
    fn forget(&mut self, number: usize) -> Result<(), Violation> {
        let id = self.nodes[number].id();
        self.nodes[number].request += 1;
        self.check.ended(&id);
        self.check.gone(&id);
        self.begin_again(number);
        Ok(())
    }

    fn set_alarm(&mut self, number: usize, wake: Option<BootInstant>) {
        let now = self.now;
        let node = &mut self.nodes[number];
        node.alarm += 1;
        let Some(wake) = wake else { return };
        let after = node.time_of(wake).saturating_sub(now);
        let (life, tag) = (node.life, Tag::Alarm(node.alarm));
        self.put(
            after,
            Event::Deliver {
                node: number,
                life,
                tag,
                input: Input::Time,
            },
        );
    }

    fn act(&mut self, number: usize, life: u32, output: OutputOf<G>) -> Result<(), Violation> {
        if let (true, Output::Tell(news)) = (self.traced, &output) {
            let line = format!("{:?} {} says {news:?}", self.now, self.nodes[number].id());
            let is_detail = matches!(news, News::Waiting(_));
            let line = if is_detail { Line::Detail } else { Line::Story }(line);
            self.outcome.trace.push(line);
        }
        match output {
            Output::Read => self.send(number, life, Request::Read),
            Output::Write(write) => {
                let write = self.stored(number, write);
                self.send(number, life, Request::Write(write));
            }
            Output::Abandon => self.nodes[number].request += 1,
            Output::Watch(since) => {
                self.nodes[number].watch += 1;
                let watch = self.nodes[number].watch;
                let after = Duration::from_millis(1) + millis(&mut self.random, 20);
                self.put(
                    after,
                    Event::WatchArrives {
                        node: number,
                        life,
                        number: watch,
                        since,
                    },
                );
            }
            Output::ReadSubject(subject) => self.send(number, life, Request::Subject(subject)),
            Output::WatchSubject(subject) => self.watch_subject(number, life, subject),
            Output::UnwatchSubject => {
                self.nodes[number].subject_watch += 1;
                self.nodes[number].subject = None;
            }
            Output::Tell(news) => {
                self.count_event(number, life, &news);
                return self.hear(number, life, &news);
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, after: Duration, event: Event<G>) {
        self.put_down += 1;
        self.events
            .insert(Reverse((self.now + after, self.put_down)), Box::new(event));
    }
}
