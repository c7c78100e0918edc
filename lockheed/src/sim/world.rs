//! The world: what happens when.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use coord_core::Errno;

use super::{
    FAULTS_END, Outcome, SERVED_BY,
    check::{Check, Violation, violated},
    go::{Did, Go, Step},
    network::{Clocks, Fate, WatchFate, chance, millis},
    node::Node,
};
use crate::{
    LockName, Record,
    machine::{Action, Flaw, Input, Moment, News, Random},
    store::{Change, Object, Objects, RECORD, Scope, StoreError, StoreErrorKind, Version},
};

/// More than any history needs: who comes here spins.
const MOST: u64 = 2_000_000;

pub(super) struct World {
    random: Random,
    flaw: Option<Flaw>,
    now: Duration,
    /// By time, and in the order in which they were put down.
    events: BTreeMap<Reverse<(Duration, u64)>, Event>,
    put_down: u64,
    name: LockName,
    objects: Objects,
    clocks: Clocks,
    nodes: Vec<Node>,
    goes: Vec<Go>,
    watches: Vec<Watching>,
    check: Check,
    outcome: Outcome,
    traced: bool,
}

/// A watch at the server.
struct Watching {
    node: usize,
    number: u64,
    last: Duration,
    fate: WatchFate,
}

/// Which request or watch an input belongs to: it counts only while that is the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tag {
    Request(u64),
    Watch(u64),
    Alarm(u64),
    None,
}

#[derive(Debug)]
enum Request {
    Read,
    Create(Object),
    Update(Object),
}

#[derive(Debug)]
enum Event {
    Begin(usize),
    Arrive {
        node: usize,
        life: u32,
        number: u64,
        request: Request,
        fate: Fate,
    },
    WatchArrives {
        node: usize,
        life: u32,
        number: u64,
        since: Option<Version>,
    },
    Deliver {
        node: usize,
        life: u32,
        tag: Tag,
        input: Input,
    },
    Resume(usize),
    Crash(usize, u32),
    Trouble,
    GoStep(usize, u64),
    GoArrives(usize, String, Object),
    GoAnswer(usize, String, Result<Object, StoreError>),
    Tidy,
    End,
}

impl World {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let nodes =
            2 + usize::from(chance(&mut random, 60)) * 2 + usize::from(chance(&mut random, 30)) * 2;
        let nodes = (0..nodes)
            .map(|number| Node::new(number, &mut random))
            .collect();
        let goes = (0..usize::from(chance(&mut random, 60)))
            .map(|number| Go::new(number, &mut random))
            .collect();
        let clocks = Clocks::new(&mut random);
        // The only name there is; it is a valid one.
        #[allow(clippy::unwrap_used, reason = "see above")]
        let name = "lock".parse().unwrap();
        Self {
            random,
            flaw,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            put_down: 0,
            name,
            objects: Objects::default(),
            clocks,
            nodes,
            goes,
            watches: Vec::new(),
            check: Check::default(),
            outcome: Outcome {
                violation: None,
                acquired: 0,
                lost: 0,
                requests: 0,
                digest: 0xcbf2_9ce4_8422_2325,
                trace: Vec::new(),
            },
            traced,
        }
    }

    pub(super) fn outcome(mut self, violation: Option<Violation>) -> Outcome {
        self.outcome.violation = violation;
        self.outcome
    }

    /// From the beginning to the end, or to the first broken promise.
    pub(super) fn play(&mut self) -> Result<(), Violation> {
        for node in 0..self.nodes.len() {
            let after = millis(&mut self.random, 3000);
            self.put(after, Event::Begin(node));
        }
        for go in 0..self.goes.len() {
            self.put(Duration::from_secs(1), Event::GoStep(go, 0));
        }
        self.put(Duration::from_secs(1), Event::Trouble);
        self.put(Duration::from_secs(5), Event::Tidy);
        self.put(SERVED_BY, Event::End);
        while let Some((Reverse((at, _)), event)) = self.events.pop_last() {
            self.now = at;
            if self.put_down > MOST {
                return violated(at, "somebody spins".to_owned());
            }
            if matches!(event, Event::End) {
                return violated(
                    at,
                    format!(
                        "not served long after faults have stopped: {:?}",
                        self.unserved()
                    ),
                );
            }
            self.happen(event)?;
            if at > FAULTS_END + Duration::from_secs(40) && self.unserved().is_empty() {
                return Ok(());
            }
        }
        violated(self.now, "nothing happens any more".to_owned())
    }

    fn unserved(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|node| !node.served)
            .map(Node::id)
            .collect()
    }

    fn faulty(&self) -> bool {
        self.now < FAULTS_END
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Begin(node) => self.begin(node)?,
            Event::Arrive {
                node,
                life,
                number,
                request,
                fate,
            } => self.serve(node, life, number, request, fate)?,
            Event::WatchArrives {
                node,
                life,
                number,
                since,
            } => self.watch(node, life, number, since),
            Event::Deliver {
                node,
                life,
                tag,
                input,
            } => self.deliver(node, life, tag, input)?,
            Event::Resume(node) => self.resume(node)?,
            Event::Crash(node, life) => self.crash(node, life),
            Event::Trouble => self.trouble(),
            Event::GoStep(go, life) => self.go(go, life),
            Event::GoArrives(go, id, object) => self.serve_go(go, &id, &object)?,
            Event::GoAnswer(go, id, answer) => self.answer_go(go, &id, answer),
            Event::Tidy => self.tidy(),
            Event::End => {}
        }
        Ok(())
    }

    fn begin(&mut self, number: usize) -> Result<(), Violation> {
        let flaw = self.flaw;
        let node = &mut self.nodes[number];
        node.begin(&self.name, self.now, flaw, &mut self.random);
        let life = node.life;
        self.handle(number, life, Tag::None, Input::Time)
    }

    /// At the node, unless it is somebody else by now; later, when it pauses.
    fn deliver(
        &mut self,
        number: usize,
        life: u32,
        tag: Tag,
        input: Input,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[number];
        if node.life == life && node.paused_until.is_some() {
            node.inbox.push((tag, input));
            return Ok(());
        }
        self.handle(number, life, tag, input)
    }

    fn handle(
        &mut self,
        number: usize,
        life: u32,
        tag: Tag,
        input: Input,
    ) -> Result<(), Violation> {
        let now = self.now;
        let node = &mut self.nodes[number];
        if node.life != life || !node.expects(tag) {
            return Ok(());
        }
        let boot = node.boot(now);
        let id = node.id();
        let Some(machine) = &mut node.machine else {
            return Ok(());
        };
        let releases = matches!(input, Input::Release);
        let line = self.traced.then(|| format!("{now:?} {id} <- {input:?}"));
        machine.handle(input, boot);
        let actions: Vec<_> = std::iter::from_fn(|| machine.action()).collect();
        let (wake, done) = (machine.wake_at(), machine.is_done());
        if releases {
            self.check.ended(&id);
        }
        self.note(number, line);
        for action in actions {
            self.act(number, life, action)?;
        }
        self.set_alarm(number, wake);
        if done {
            self.nodes[number].machine = None;
            let after = Duration::from_millis(1) + millis(&mut self.random, 3000);
            self.put(after, Event::Begin(number));
        }
        Ok(())
    }

    fn set_alarm(&mut self, number: usize, wake: Option<Duration>) {
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

    fn act(&mut self, number: usize, life: u32, action: Action) -> Result<(), Violation> {
        if let (true, Action::Tell(news)) = (self.traced, &action) {
            let line = format!("{:?} {} says {news:?}", self.now, self.nodes[number].id());
            self.outcome.trace.push(line);
        }
        match action {
            Action::Read => self.send(number, life, Request::Read),
            Action::Create(object) => self.send(number, life, Request::Create(object)),
            Action::Update(object) => self.send(number, life, Request::Update(object)),
            Action::Abandon => self.nodes[number].request += 1,
            Action::Watch(since) => {
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
            Action::Tell(news) => return self.hear(number, life, news),
        }
        Ok(())
    }

    fn send(&mut self, number: usize, life: u32, request: Request) {
        self.outcome.requests += 1;
        let cut_off = self.nodes[number].cut_off_until > self.now;
        let fate = if self.faulty() {
            Fate::ill(&mut self.random, cut_off)
        } else {
            Fate::well(&mut self.random)
        };
        let node = &mut self.nodes[number];
        node.request += 1;
        let (sent, timeout) = (node.request, node.timeout);
        let late = match request {
            Request::Read => Input::Read(Err(silent(StoreErrorKind::Unavailable))),
            _ => Input::Written(Err(silent(StoreErrorKind::Unknown))),
        };
        self.put(
            timeout,
            Event::Deliver {
                node: number,
                life,
                tag: Tag::Request(sent),
                input: late,
            },
        );
        if let Some(there) = fate.there {
            self.put(
                there,
                Event::Arrive {
                    node: number,
                    life,
                    number: sent,
                    request,
                    fate,
                },
            );
        }
    }

    /// At the server.
    fn serve(
        &mut self,
        number: usize,
        life: u32,
        sent: u64,
        request: Request,
        fate: Fate,
    ) -> Result<(), Violation> {
        let writer = format!("node{number}-{life}");
        let unversioned = self.flaw == Some(Flaw::NoVersion);
        let refused = || {
            StoreError::new(
                StoreErrorKind::Unavailable,
                Errno::EAGAIN,
                "too many requests",
            )
        };
        let input = match request {
            Request::Read if fate.refused => Input::Read(Err(refused())),
            _ if fate.refused => Input::Written(Err(refused())),
            Request::Read => {
                let now = self.clocks.now(number, self.now);
                Input::Read(Ok((self.objects.get(&self.name).ok(), now)))
            }
            Request::Update(object) if unversioned => {
                Input::Written(Ok(self.objects.overwrite(&object)))
            }
            Request::Update(object) => Input::Written(self.objects.update(&object)),
            Request::Create(object) => Input::Written(self.objects.create(&object)),
        };
        if let Input::Written(Ok(object)) = &input {
            self.written(&writer, &object.clone())?;
        }
        if let Some(back) = fate.back {
            self.put(
                back,
                Event::Deliver {
                    node: number,
                    life,
                    tag: Tag::Request(sent),
                    input,
                },
            );
        }
        Ok(())
    }

    /// Something was written: it is checked, and told to whoever watches.
    fn written(&mut self, writer: &str, object: &Object) -> Result<(), Violation> {
        if self.traced {
            let text = object.data.get(RECORD).map_or("", String::as_str);
            self.outcome.trace.push(format!(
                "{:?} {writer} wrote version {}: {text} {:?}",
                self.now, object.version, object.annotations
            ));
        }
        let now = Moment {
            boot: self.now,
            store: self.clocks.now(0, self.now),
        };
        self.check.written(writer, object, now)?;
        self.broadcast(&Change::Written(object.clone()));
        Ok(())
    }

    fn broadcast(&mut self, change: &Change) {
        let mut told = Vec::new();
        for watching in &mut self.watches {
            if self.nodes[watching.node].watch != watching.number || watching.fate.silent {
                continue;
            }
            let delay = Duration::from_millis(1) + millis(&mut self.random, 15);
            watching.last = watching.last.max(self.now + delay);
            told.push((watching.node, watching.number, watching.last - self.now));
        }
        for (node, number, after) in told {
            let life = self.nodes[node].life;
            let input = Input::Changed(change.clone());
            self.put(
                after,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::Watch(number),
                    input,
                },
            );
        }
    }

    fn watch(&mut self, node: usize, life: u32, number: u64, since: Option<Version>) {
        if self.nodes[node].watch != number {
            return;
        }
        let fate = if self.faulty() {
            WatchFate::ill(&mut self.random)
        } else {
            WatchFate::well()
        };
        self.watches.retain(|watching| watching.node != node);
        let delay = Duration::from_millis(1);
        for change in self
            .objects
            .beyond(&Scope::Lock(self.name.clone()), since.as_ref())
        {
            let input = Input::Changed(change);
            self.put(
                delay,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::Watch(number),
                    input,
                },
            );
        }
        let last = self.now + delay;
        self.watches.push(Watching {
            node,
            number,
            last,
            fate,
        });
        let ended = Input::WatchEnded(None);
        self.put(
            fate.ends_after + delay * 2,
            Event::Deliver {
                node,
                life,
                tag: Tag::Watch(number),
                input: ended,
            },
        );
    }

    /// What a machine has to tell to whoever uses the lock.
    fn hear(&mut self, number: usize, life: u32, news: News) -> Result<(), Violation> {
        let now = self.now;
        let node = &mut self.nodes[number];
        let id = node.id();
        let until = |deadline: Option<Duration>, node: &Node| {
            deadline.map(|deadline| node.time_of(deadline))
        };
        match news {
            News::Acquired { token, deadline } => {
                node.served = true;
                let until = until(deadline, node).filter(|_| self.flaw != Some(Flaw::NoDeadline));
                self.outcome.acquired += 1;
                self.check.acquired(&id, token, until, now)?;
                self.use_lock(number, life);
            }
            News::Renewed { deadline } => {
                let until = until(deadline, node).filter(|_| self.flaw != Some(Flaw::NoDeadline));
                self.check.renewed(&id, until, now)?;
            }
            News::Lost(_) => {
                self.outcome.lost += 1;
                self.check.ended(&id);
                let after = millis(&mut self.random, 500);
                self.put(
                    after,
                    Event::Deliver {
                        node: number,
                        life,
                        tag: Tag::None,
                        input: Input::Release,
                    },
                );
            }
            News::Released | News::Failed(_) => {
                self.check.ended(&id);
                self.check.gone(&id);
            }
            News::NotReleased(_) => self.check.may_come_back(&id),
            News::Waiting(_) | News::NotRenewed(_) | News::Unreachable(_) | News::Reachable => {}
        }
        Ok(())
    }

    /// Works for a while, and then gives the lock back, or dies.
    fn use_lock(&mut self, node: usize, life: u32) {
        let longest = if self.faulty() { 12_000 } else { 2000 };
        let after = millis(&mut self.random, longest);
        if self.faulty() && chance(&mut self.random, 15) {
            self.put(after, Event::Crash(node, life));
        } else {
            self.put(
                after,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::None,
                    input: Input::Release,
                },
            );
        }
    }

    fn crash(&mut self, number: usize, life: u32) {
        let node = &mut self.nodes[number];
        if node.life != life || node.machine.is_none() {
            return;
        }
        self.check.ended(&node.id());
        node.die();
        let after = millis(&mut self.random, 5000);
        self.put(after, Event::Begin(number));
    }

    fn resume(&mut self, number: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[number];
        if node.paused_until.is_none_or(|until| until > self.now) {
            return Ok(());
        }
        node.paused_until = None;
        let life = node.life;
        for (tag, input) in std::mem::take(&mut node.inbox) {
            self.handle(number, life, tag, input)?;
        }
        Ok(())
    }

    /// Something goes wrong somewhere.
    fn trouble(&mut self) {
        if !self.faulty() {
            return self.recover();
        }
        let number = usize::try_from(self.random.number() % self.nodes.len() as u64).unwrap_or(0);
        let for_long = millis(&mut self.random, 15_000);
        match self.random.number() % 8 {
            0 | 1 => {
                self.nodes[number].paused_until = Some(self.now + for_long);
                self.put(for_long, Event::Resume(number));
            }
            2 | 3 => self.nodes[number].cut_off_until = self.now + for_long,
            4 => {
                let life = self.nodes[number].life;
                self.crash(number, life);
            }
            5 => self.clocks.step(&mut self.random),
            6 if !self.goes.is_empty() => self.goes[0].die(),
            _ => {}
        }
        let next = millis(&mut self.random, 4000);
        self.put(next, Event::Trouble);
    }

    /// Faults have stopped. Whoever pauses goes on when the pause is over; the foreign writers are gone.
    fn recover(&mut self) {
        for node in &mut self.nodes {
            node.served = false;
            node.cut_off_until = Duration::ZERO;
        }
        self.goes.clear();
    }

    fn go(&mut self, number: usize, _: u64) {
        let Some(go) = self.goes.get_mut(number) else {
            return;
        };
        let (id, now) = (go.id(), self.now);
        if go.step == Step::Hold {
            go.step = Step::ReserveToRelease;
            self.check.ended(&id);
        }
        let there = self.objects.get(&self.name).ok();
        if let Some(object) = go.next(there.as_ref(), now, &mut self.random) {
            let after = Duration::from_millis(1) + millis(&mut self.random, 20);
            self.put(after, Event::GoArrives(number, id, object));
        } else {
            let after = millis(&mut self.random, 3000);
            self.put(after, Event::GoStep(number, 0));
        }
    }

    fn serve_go(&mut self, number: usize, id: &str, object: &Object) -> Result<(), Violation> {
        let answer = self.objects.update(object);
        if let Ok(object) = &answer {
            if Record::from_json(&object.data[RECORD])
                .is_ok_and(|record| record.leases.contains_key(id))
            {
                self.check.excuse(id);
            }
            self.written(id, &object.clone())?;
        }
        let after = Duration::from_millis(1) + millis(&mut self.random, 20);
        self.put(after, Event::GoAnswer(number, id.to_owned(), answer));
        Ok(())
    }

    fn answer_go(&mut self, number: usize, id: &str, answer: Result<Object, StoreError>) {
        let now = self.now;
        let Some(go) = self.goes.get_mut(number) else {
            return;
        };
        let mut after = millis(&mut self.random, 300);
        if go.id() == id {
            let did = match answer {
                Ok(object) => go.did(&object, now),
                Err(error) => {
                    go.failed(&error);
                    Did::Nothing
                }
            };
            match did {
                Did::Nothing => {}
                Did::Took(left) => {
                    self.check.taken_by_foreigner(id, now + left);
                    after = millis(&mut self.random, 6000);
                }
                Did::Ended => after = millis(&mut self.random, 5000),
            }
        }
        self.put(after, Event::GoStep(number, 0));
    }

    /// Somebody removes locks that nobody holds.
    fn tidy(&mut self) {
        if let Ok(object) = self.objects.get(&self.name) {
            let free = Record::from_json(&object.data[RECORD])
                .is_ok_and(|record| record.leases.is_empty());
            if free && self.objects.delete(&object).is_ok() {
                self.check.deleted();
                let version = self.objects.last_version();
                self.broadcast(&Change::Deleted(Object { version, ..object }));
            }
        }
        let after = millis(&mut self.random, 20_000);
        self.put(after, Event::Tidy);
    }

    fn put(&mut self, after: Duration, event: Event) {
        self.put_down += 1;
        self.events
            .insert(Reverse((self.now + after, self.put_down)), event);
    }

    fn note(&mut self, number: usize, line: Option<String>) {
        let mix = u64::try_from(self.now.as_nanos()).unwrap_or(0) ^ (number as u64) << 56;
        self.outcome.digest = (self.outcome.digest ^ mix).wrapping_mul(0x0100_0000_01b3);
        self.outcome.trace.extend(line);
    }
}

fn silent(kind: StoreErrorKind) -> StoreError {
    crate::driver::silent(kind)
}
