//! The real engine as an automaton: each state of a contender's engine has a number, and so has
//! each object.
//!
//! An engine in the same state does the same, whatever the rest of the world is like. So the effect
//! of an input is computed once and remembered. A state is identified by its complete `Debug` form,
//! which includes the random generator. It is stored as the inputs that lead to it, because engines
//! are large and cannot be copied.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use coord_lease::engine::{
    Engine, Event, Failure, Goal, Input as EngineInput, Moment, Output as EngineOutput, Settings,
    Wait, Write,
};
use sim::{Broken, Flaw};

use crate::{
    Kind,
    io::{Input, Output},
    lock::{Id, Lock, ObjectOf, SubjectOf, version_number},
    print::{self, Prints},
    time::{LEASE, boot, millis, rounded_up},
};

type Played<L> = Broken<<L as Lock>::Protocol>;

/// How many live engines are kept.
const LIVE: usize = 64;

/// See the module.
pub(crate) struct Automaton<L: Lock> {
    kind: Kind,
    flaw: Option<Flaw>,
    states: Vec<State>,
    /// Live engines in these states, for the states used last. Continuing from one of them needs no
    /// replay.
    live: VecDeque<(u32, Engine<Played<L>>)>,
    state_numbers: HashMap<u64, u32, Prints>,
    /// The result of an input at a time.
    steps: HashMap<(u32, Input, u32), Step, Prints>,
    begun: HashMap<(Id, u8, u32), Step>,
    objects: Vec<Kept<L>>,
    object_numbers: HashMap<u64, u32, Prints>,
    subjects: Vec<SubjectOf<L>>,
    /// By number, version, and whether it was created in that version.
    stamped: HashMap<(u32, u32, bool), u32, Prints>,
    /// Outputs of engines since they were last taken; none when nobody needs them.
    pub(crate) noted: Option<Vec<Output>>,
}

/// The next state, and its outputs.
pub(crate) type Step = (u32, Rc<[Output]>);

/// A state of one contender's engine.
struct State {
    id: Id,
    /// The generation of its Pod.
    pod: u8,
    before: Before,
    /// When to wake it.
    wake: Option<u32>,
    is_done: bool,
}

enum Before {
    /// It started at this time.
    Nothing(u32),
    /// That state, with this input at this time.
    State(u32, Input, u32),
}

/// An object, and what is known about it.
pub(crate) struct Kept<L: Lock> {
    object: ObjectOf<L>,
    pub(crate) version: u32,
    pub(crate) uid: u32,
    /// The bits of the holders whose leases are in it.
    holders: u64,
    over_at: Option<u32>,
    pub(crate) is_reserved: bool,
    pub(crate) owner: Option<(u8, u8)>,
}

impl<L: Lock> Kept<L> {
    /// Whether this is the state in which it was created.
    pub(crate) fn is_new(&self) -> bool {
        self.uid == self.version
    }

    /// The bits of the holders whose leases are in it, while it counts.
    pub(crate) fn holders(&self, now: u32) -> u64 {
        let is_over = self.over_at.is_some_and(|over| over <= now);
        if is_over { 0 } else { self.holders }
    }
}

impl<L: Lock> Automaton<L> {
    pub(crate) fn new(kind: Kind, flaw: Option<Flaw>) -> Self {
        Self {
            kind,
            flaw,
            states: Vec::new(),
            live: VecDeque::new(),
            state_numbers: HashMap::default(),
            steps: HashMap::default(),
            begun: HashMap::default(),
            objects: Vec::new(),
            object_numbers: HashMap::default(),
            subjects: Vec::new(),
            stamped: HashMap::default(),
            noted: None,
        }
    }

    /// The number of engine states.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn note(&mut self, outputs: &[Output]) {
        if let Some(noted) = &mut self.noted {
            noted.extend(outputs);
        }
    }

    pub(crate) fn wake(&self, state: u32) -> Option<u32> {
        self.states[state as usize].wake
    }

    pub(crate) fn is_done(&self, state: u32) -> bool {
        self.states[state as usize].is_done
    }

    /// A new contender's first step.
    pub(crate) fn begin(&mut self, id: Id, pod: u8, now: u32) -> Step {
        if let Some(step) = self.begun.get(&(id, pod, now)) {
            return step.clone();
        }
        let engine = self.engine(id, pod, now);
        let step = self.step_of(engine, id, pod, Before::Nothing(now), Input::Time, now);
        self.begun.insert((id, pod, now), step.clone());
        step
    }

    /// The result of an input.
    pub(crate) fn step(&mut self, state: u32, input: Input, now: u32) -> Step {
        if let Some(step) = self.steps.get(&(state, input, now)) {
            return step.clone();
        }
        let engine = self.engine_in(state);
        let State { id, pod, .. } = self.states[state as usize];
        let before = Before::State(state, input, now);
        let step = self.step_of(engine, id, pod, before, input, now);
        self.steps.insert((state, input, now), step.clone());
        step
    }

    fn step_of(
        &mut self,
        mut engine: Engine<Played<L>>,
        id: Id,
        pod: u8,
        before: Before,
        input: Input,
        now: u32,
    ) -> Step {
        engine.handle(self.input(id, pod, input), boot(now));
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll()).collect();
        let outputs = outputs.into_iter().map(|output| self.output(output));
        let outputs: Rc<[Output]> = outputs.collect();
        let print = print::of_debug(&(id, pod, &engine));
        let number = *self.state_numbers.entry(print).or_insert_with(|| {
            self.states.push(State {
                id,
                pod,
                before,
                wake: engine.wake_at().map(rounded_up),
                is_done: engine.is_done(),
            });
            number(self.states.len() - 1)
        });
        self.live.truncate(LIVE - 1);
        self.live.push_front((number, engine));
        (number, outputs)
    }

    /// An engine at its start.
    fn engine(&self, id: Id, pod: u8, now: u32) -> Engine<Played<L>> {
        let settings = Settings {
            goal: Goal::Acquire,
            length: Some(LEASE),
            renew_interval: Some(LEASE / 3),
            wait: Wait::Forever,
        };
        let lock = Broken::new(L::contender(self.kind, id, pod), self.flaw);
        let seed = u64::from(id.contender) * 100 + u64::from(id.life);
        Engine::new(lock, settings, Moment::new(boot(now)), seed)
    }

    /// An engine in this state.
    fn engine_in(&mut self, state: u32) -> Engine<Played<L>> {
        let live = self.live.iter().position(|(live, _)| *live == state);
        let live = live.and_then(|at| self.live.remove(at));
        live.map_or_else(|| self.replay(state), |(_, engine)| engine)
    }

    fn replay(&self, state: u32) -> Engine<Played<L>> {
        let State { id, pod, .. } = self.states[state as usize];
        let mut inputs = Vec::new();
        let mut at = state;
        let begun = loop {
            match self.states[at as usize].before {
                Before::Nothing(begun) => break begun,
                Before::State(before, input, now) => {
                    inputs.push((input, now));
                    at = before;
                }
            }
        };
        let mut engine = self.engine(id, pod, begun);
        inputs.push((Input::Time, begun));
        for (input, now) in inputs.into_iter().rev() {
            engine.handle(self.input(id, pod, input), boot(now));
            while engine.poll().is_some() {}
        }
        engine
    }

    fn input(&self, id: Id, pod: u8, input: Input) -> EngineInput<Played<L>> {
        let object = |number: u32| self.objects[number as usize].object.clone();
        let fact = |subject: u32, is_there| {
            let subject = &self.subjects[subject as usize];
            L::fact(id, pod, subject, is_there)
        };
        let failed = |failing| L::failed(failing);
        match input {
            Input::Time => EngineInput::Time,
            Input::Read(there, clock) => EngineInput::Read(Ok(there.map(object)), clock.shown()),
            Input::Written(there, clock) => {
                let clock = clock.shown().filter(|_| L::WRITES_TELL_TIME);
                EngineInput::Written(Ok(there.map(object)), clock)
            }
            Input::SubjectRead(subject, is_there, clock) => {
                EngineInput::SubjectRead(Ok(fact(subject, is_there)), clock.shown())
            }
            Input::NotRead => EngineInput::Read(Err(failed(input.effect())), None),
            Input::SubjectNotRead => EngineInput::SubjectRead(Err(failed(input.effect())), None),
            Input::NotWritten(_) => EngineInput::Written(Err(failed(input.effect())), None),
            Input::Changed(number) => EngineInput::Changed(object(number)),
            Input::Deleted(number) => EngineInput::Deleted(version(number)),
            Input::WatchEnded => EngineInput::WatchEnded(None),
            Input::SubjectChanged(subject, is_there) => {
                EngineInput::SubjectChanged(fact(subject, is_there))
            }
            Input::SubjectWatchEnded => EngineInput::SubjectWatchEnded(None),
            Input::Release => EngineInput::Release,
            Input::Cancel => EngineInput::Cancel,
        }
    }

    fn output(&mut self, output: EngineOutput<Played<L>>) -> Output {
        match output {
            EngineOutput::Read => Output::Read,
            EngineOutput::Write(Write::Create(object)) => Output::Create(self.keep(object)),
            EngineOutput::Write(Write::Update(object)) => Output::Update(self.keep(object)),
            EngineOutput::Write(Write::Delete(object)) => Output::Delete(self.keep(object)),
            EngineOutput::Watch(since) => {
                Output::Watch(since.map(|since| version_number(since.as_str())))
            }
            EngineOutput::ReadSubject(subject) => Output::ReadSubject(self.subject(subject)),
            EngineOutput::WatchSubject(subject) => Output::WatchSubject(self.subject(subject)),
            EngineOutput::UnwatchSubject => Output::UnwatchSubject,
            EngineOutput::Abandon => Output::Abandon,
            EngineOutput::Tell(event) => self.to_output(&event),
        }
    }

    fn to_output(&self, event: &Event<Played<L>>) -> Output {
        // With this flaw, a holder does not notice that its lease is over.
        let believes = self.flaw != Some(Flaw::IgnoreExpiry);
        let until = |until: Option<_>| until.filter(|_| believes).map(millis);
        match event {
            Event::Acquired(grant, deadline) => Output::Acquired(L::token(grant), until(*deadline)),
            Event::Renewed(deadline) => Output::Renewed(until(*deadline)),
            Event::Lost(_) => Output::Lost,
            Event::Released => Output::Released,
            Event::NotReleased(_) => Output::NotReleased,
            Event::Failed(Failure::Cancelled) => Output::Cancelled,
            Event::Failed(_) => Output::Failed,
            _ => Output::Said,
        }
    }

    fn keep(&mut self, object: ObjectOf<L>) -> u32 {
        *self
            .object_numbers
            .entry(print::of_debug(&object))
            .or_insert_with(|| {
                let (uid, version) = L::stamped(&object);
                self.objects.push(Kept {
                    version,
                    uid,
                    holders: L::holders(&object).into_iter().map(Id::bit).sum(),
                    over_at: L::over_at(&object),
                    is_reserved: L::is_reserved(&object),
                    owner: L::owner_of(&object),
                    object,
                });
                number(self.objects.len() - 1)
            })
    }

    pub(crate) fn kept(&self, object: u32) -> &Kept<L> {
        &self.objects[object as usize]
    }

    /// The states of the store before anybody starts.
    pub(crate) fn beginnings(&mut self) -> Vec<Option<u32>> {
        let mut beginnings = Vec::new();
        for object in L::beginnings() {
            beginnings.push(object.map(|object| {
                let new = self.keep(object);
                self.stamp(new, 1, true)
            }));
        }
        beginnings
    }

    /// The same object in this version, either created in it or kept from before.
    pub(crate) fn stamp(&mut self, object: u32, version: u32, is_new: bool) -> u32 {
        if let Some(stamped) = self.stamped.get(&(object, version, is_new)) {
            return *stamped;
        }
        let kept = self.kept(object);
        let uid = if is_new { version } else { kept.uid };
        let mut stamped = kept.object.clone();
        L::stamp(&mut stamped, uid, version);
        let stamped = self.keep(stamped);
        self.stamped.insert((object, version, is_new), stamped);
        stamped
    }

    /// The same object with the announcement of a Go program.
    pub(crate) fn reserved(&mut self, object: u32, now: u32, version: u32) -> Option<u32> {
        let kept = self.kept(object);
        let uid = kept.uid;
        let mut reserved = L::reserved(&kept.object, now)?;
        L::stamp(&mut reserved, uid, version);
        Some(self.keep(reserved))
    }

    fn subject(&mut self, subject: SubjectOf<L>) -> u32 {
        let known = self.subjects.iter().position(|known| *known == subject);
        number(known.unwrap_or_else(|| {
            self.subjects.push(subject);
            self.subjects.len() - 1
        }))
    }

    /// The contender whose Pod this subject is, and the Pod's generation.
    pub(crate) fn pod_of(&self, subject: u32) -> Option<(u8, u8)> {
        L::pod_of(&self.subjects[subject as usize])
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn version(number: u32) -> coord_lease::Version {
    coord_lease::Version::new(number.to_string())
}
