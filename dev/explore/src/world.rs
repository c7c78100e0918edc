//! The world: some contenders for one lock, its store, and everything in flight between them.

use sim::Flaw;

use crate::{
    Setup,
    action::Action,
    automaton::Automaton,
    check::Check,
    io::{Input, Output, Refusal},
    lock::{Id, Lock},
};

/// A complete state. It has numbers instead of large values, so it is small and can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// In seconds. All machines' clocks run alike.
    pub(crate) now: u32,
    /// The object in the store.
    pub(crate) object: Option<u32>,
    /// The version of the last write.
    pub(crate) version: u32,
    pub(crate) contenders: Vec<Contender>,
    /// Writes in flight that nobody waits for any more, in an order without meaning.
    pub(crate) late: Vec<(Id, Output)>,
    /// How many more faults may happen.
    pub(crate) faults: u8,
    /// The only faults are contenders that wake too late.
    pub(crate) only_pauses: bool,
    /// How often each contender may start.
    pub(crate) lives: u8,
    pub(crate) check: Check,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Contender {
    pub(crate) life: u8,
    /// How often its Pod was replaced.
    pub(crate) pod: u8,
    pub(crate) stage: Stage,
    pub(crate) engine: Option<u32>,
    /// The request in flight, and its answer once the server has given it.
    pub(crate) request: Option<(Output, Option<Input>)>,
    /// What the watch has yet to report; none if there is no watch.
    pub(crate) watch: Option<Vec<Input>>,
    /// Which Pod is watched, and whether there is something to report about it.
    pub(crate) subject: Option<(u32, bool)>,
    /// It has missed its wake-up.
    pub(crate) is_paused: bool,
}

/// What a contender wants and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Wanting,
    Holding,
    /// It held the lock, and knows that it lost it.
    Lost,
    /// It was told to release the lock, or to stop waiting.
    Leaving,
    /// It no longer wants anything.
    Left,
}

pub(crate) type Happened = Result<(), String>;

impl World {
    pub(crate) fn new(setup: &Setup, object: Option<u32>) -> Self {
        let contender = Contender {
            life: 0,
            pod: 0,
            stage: Stage::Wanting,
            engine: None,
            request: None,
            watch: None,
            subject: None,
            is_paused: false,
        };
        Self {
            now: 0,
            object,
            version: u32::from(object.is_some()),
            contenders: vec![contender; setup.contenders.into()],
            late: Vec::new(),
            faults: setup.faults,
            only_pauses: setup.only_pauses,
            lives: setup.lives,
            check: Check::new(setup.contenders.into()),
        }
    }

    pub(crate) fn id(&self, number: u8) -> Id {
        let life = self.contender(number).life;
        Id {
            contender: number,
            life,
        }
    }

    pub(crate) fn contender(&self, number: u8) -> &Contender {
        &self.contenders[usize::from(number)]
    }

    fn contender_mut(&mut self, number: u8) -> &mut Contender {
        &mut self.contenders[usize::from(number)]
    }

    /// Performs an action, which must be a possible one.
    pub(crate) fn happen<L: Lock>(
        &mut self,
        action: Action,
        automaton: &mut Automaton<L>,
    ) -> Happened {
        self.faults -= self.cost(action, automaton);
        match action {
            Action::Begin(number) => self.begin(number, automaton),
            Action::Serve(number) => {
                let Some((request, None)) = self.contender(number).request else {
                    return Ok(());
                };
                let id = self.id(number);
                let answer = self.serve(id, request, automaton)?;
                if answer.shows_an_object() {
                    self.check.is_certain(id);
                }
                self.contender_mut(number).request = Some((request, Some(answer)));
                Ok(())
            }
            Action::Answer(number) => {
                let Some((_, Some(answer))) = self.contender_mut(number).request.take() else {
                    return Ok(());
                };
                self.hand(number, answer, automaton)
            }
            Action::GiveUp(number) => {
                let Some((request, _)) = self.contender(number).request else {
                    return Ok(());
                };
                self.leave_request(number);
                self.hand(number, request.failed(Refusal::Silence), automaton)
            }
            Action::Refuse(number) => {
                let Some((request, _)) = self.contender_mut(number).request.take() else {
                    return Ok(());
                };
                self.hand(number, request.failed(Refusal::Busy), automaton)
            }
            Action::ServeLate(at) => {
                let (id, write) = self.late.remove(at.into());
                self.serve(id, write, automaton).map(|_| ())
            }
            Action::Tell(number) => {
                let Some(changes) = &mut self.contender_mut(number).watch else {
                    return Ok(());
                };
                let change = changes.remove(0);
                self.hand(number, change, automaton)
            }
            Action::EndWatch(number) => {
                self.contender_mut(number).watch = None;
                self.hand(number, Input::WatchEnded, automaton)
            }
            Action::TellSubject(number) => {
                let Some((subject, is_changed)) = &mut self.contender_mut(number).subject else {
                    return Ok(());
                };
                *is_changed = false;
                let told = Input::SubjectChanged(*subject, false);
                self.hand(number, told, automaton)
            }
            Action::EndSubjectWatch(number) => {
                self.contender_mut(number).subject = None;
                self.hand(number, Input::SubjectWatchEnded, automaton)
            }
            Action::Wake(number) => self.hand(number, Input::Time, automaton),
            Action::Tick => {
                self.tick(automaton);
                Ok(())
            }
            Action::Crash(number) => {
                self.die(number);
                Ok(())
            }
            Action::Replace(number) => {
                self.replace(number, automaton);
                Ok(())
            }
            Action::Cancel(number) => {
                self.contender_mut(number).stage = Stage::Leaving;
                self.hand(number, Input::Cancel, automaton)
            }
            Action::Release(number) => {
                self.contender_mut(number).stage = Stage::Leaving;
                self.check.ended(self.id(number));
                self.hand(number, Input::Release, automaton)
            }
            Action::Reserve => self.reserve(automaton),
            Action::Tidy => {
                self.remove();
                Ok(())
            }
        }
    }

    /// How many faults this action counts as.
    fn cost<L: Lock>(&self, action: Action, automaton: &Automaton<L>) -> u8 {
        match action {
            Action::GiveUp(_)
            | Action::Refuse(_)
            | Action::EndWatch(_)
            | Action::EndSubjectWatch(_)
            | Action::Crash(_)
            | Action::Replace(_)
            | Action::Cancel(_)
            | Action::Reserve
            | Action::Tidy => 1.min(self.faults),
            Action::Tick => self.oversleepers(automaton).min(self.faults),
            _ => 0,
        }
    }

    fn begin<L: Lock>(&mut self, number: u8, automaton: &mut Automaton<L>) -> Happened {
        let now = self.now;
        self.contender_mut(number).life += 1;
        let (id, pod) = (self.id(number), self.contender(number).pod);
        let (engine, outputs) = automaton.begin(id, pod, now);
        self.contender_mut(number).engine = Some(engine);
        self.carry_out(number, &outputs, automaton)
    }

    /// Passes an input to a contender's engine.
    fn hand<L: Lock>(
        &mut self,
        number: u8,
        input: Input,
        automaton: &mut Automaton<L>,
    ) -> Happened {
        let (now, id) = (self.now, self.id(number));
        if matches!(input, Input::Changed(_)) {
            self.check.is_certain(id);
        }
        let contender = self.contender_mut(number);
        contender.is_paused = false;
        let Some(engine) = contender.engine else {
            return Ok(());
        };
        let (engine, outputs) = automaton.step(engine, input, now);
        self.contender_mut(number).engine = Some(engine);
        self.carry_out(number, &outputs, automaton)
    }

    fn carry_out<L: Lock>(
        &mut self,
        number: u8,
        outputs: &[Output],
        automaton: &mut Automaton<L>,
    ) -> Happened {
        automaton.note(outputs);
        let id = self.id(number);
        let is_abandoned = outputs.contains(&Output::Abandon);
        if is_abandoned && automaton.flaw() == Some(Flaw::ForgetInFlight) {
            // It gives up at once, and says that nothing of it is left.
            self.check.gone(id);
            self.die(number);
            return Ok(());
        }
        for output in outputs {
            self.act(number, *output, automaton)?;
        }
        self.check.left(id, self.holders(automaton))?;
        let engine = self.contender(number).engine;
        if engine.is_some_and(|engine| automaton.is_done(engine)) {
            self.die(number);
        }
        Ok(())
    }

    fn act<L: Lock>(&mut self, number: u8, output: Output, automaton: &Automaton<L>) -> Happened {
        let (id, now, kind) = (self.id(number), self.now, automaton.kind());
        match output {
            request if request.is_request() => {
                if matches!(request, Output::Create(_)) {
                    self.check.creates(id);
                }
                self.contender_mut(number).request = Some((request, None));
            }
            Output::Abandon => self.leave_request(number),
            Output::Watch(since) => {
                let change = self.change_since(since, automaton);
                let changes = change.into_iter().collect();
                self.contender_mut(number).watch = Some(changes);
            }
            Output::WatchSubject(subject) => {
                let is_changed = !self.is_there(subject, automaton);
                self.contender_mut(number).subject = Some((subject, is_changed));
            }
            Output::UnwatchSubject => self.contender_mut(number).subject = None,
            Output::Acquired(token, until) => {
                if self.contender(number).stage == Stage::Leaving {
                    return Err(format!("{id} acquires the lock after it was cancelled"));
                }
                self.contender_mut(number).stage = Stage::Holding;
                self.check.acquired(kind, id, token, until, now)?;
            }
            Output::Renewed(until) => self.check.renewed(kind, id, until, now)?,
            Output::Lost => {
                self.contender_mut(number).stage = Stage::Lost;
                self.check.ended(id);
            }
            Output::Released | Output::Cancelled | Output::Failed => self.check.gone(id),
            Output::NotReleased => self.check.may_come_back(id),
            _ => {}
        }
        Ok(())
    }

    /// Nobody waits for the request in flight any more; a write may still arrive.
    fn leave_request(&mut self, number: u8) {
        let id = self.id(number);
        if let Some((request, None)) = self.contender_mut(number).request.take()
            && request.is_write()
        {
            self.late.push((id, request));
            self.late.sort_unstable();
        }
    }

    /// The contender dies and forgets everything. If it has not had what it wants, it may come
    /// again.
    fn die(&mut self, number: u8) {
        self.leave_request(number);
        self.check.ended(self.id(number));
        let contender = self.contender_mut(number);
        contender.engine = None;
        contender.watch = None;
        contender.subject = None;
        contender.is_paused = false;
        contender.stage = if contender.stage == Stage::Leaving {
            Stage::Left
        } else {
            Stage::Wanting
        };
    }

    fn replace<L: Lock>(&mut self, number: u8, automaton: &Automaton<L>) {
        self.die(number);
        self.contender_mut(number).pod += 1;
        for other in 0..self.contenders.len() {
            let Some((subject, _)) = self.contenders[other].subject else {
                continue;
            };
            if !self.is_there(subject, automaton) {
                self.contenders[other].subject = Some((subject, true));
            }
        }
    }

    /// Time moves on. A contender that had to wake and has not, pauses.
    fn tick<L: Lock>(&mut self, automaton: &Automaton<L>) {
        let Some(next) = self.next_tick(automaton) else {
            return;
        };
        for contender in &mut self.contenders {
            let wake = contender.engine.and_then(|engine| automaton.wake(engine));
            contender.is_paused = wake.is_some_and(|wake| wake <= self.now);
        }
        self.now = next;
    }

    /// The bits of the holders whose leases exist.
    pub(crate) fn holders<L: Lock>(&self, automaton: &Automaton<L>) -> u64 {
        self.object
            .map_or(0, |object| automaton.kept(object).holders(self.now))
    }
}
