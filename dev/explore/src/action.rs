//! The possible next actions.

use crate::{
    Kind,
    automaton::Automaton,
    lock::Lock,
    world::{Stage, World},
};

/// One action; the number is that of the contender it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// It starts to want the lock.
    Begin(u8),
    /// Its request arrives, and is answered.
    Serve(u8),
    /// The answer reaches it.
    Answer(u8),
    /// No answer comes in time. A write stays in flight, and nobody waits for it.
    GiveUp(u8),
    /// The server refuses its request without looking.
    Refuse(u8),
    /// A write in flight arrives although nobody waits for it.
    ServeLate(u8),
    /// The watch reports the next change.
    Tell(u8),
    EndWatch(u8),
    /// The Pod's watch reports that the Pod is gone.
    TellSubject(u8),
    EndSubjectWatch(u8),
    /// It wakes when it wanted to.
    Wake(u8),
    /// Time moves on until the next contender wants to wake.
    Tick,
    /// It dies.
    Crash(u8),
    /// It dies with its Pod.
    Replace(u8),
    /// It no longer wants the lock.
    Cancel(u8),
    /// Its work has ended.
    Release(u8),
    /// A Go program announces a write, and dies.
    Reserve,
    /// Somebody removes an object that nobody needs.
    Tidy,
}

impl World {
    /// All actions that are possible in this state.
    pub(crate) fn actions<L: Lock>(&self, automaton: &Automaton<L>) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        let may_fail = self.faults > 0 && !self.only_pauses;
        for (number, contender) in (0..).zip(&self.contenders) {
            let Some(engine) = contender.engine else {
                if self.may_begin(number) {
                    actions.push(Action::Begin(number));
                }
                continue;
            };
            match contender.request {
                Some((_, None)) => {
                    actions.push(Action::Serve(number));
                    if may_fail {
                        actions.extend([Action::GiveUp(number), Action::Refuse(number)]);
                    }
                }
                Some((_, Some(_))) => {
                    actions.push(Action::Answer(number));
                    if may_fail {
                        actions.push(Action::GiveUp(number));
                    }
                }
                None => {}
            }
            if let Some(changes) = &contender.watch {
                if !changes.is_empty() {
                    actions.push(Action::Tell(number));
                }
                if may_fail {
                    actions.push(Action::EndWatch(number));
                }
            }
            if let Some((_, is_changed)) = contender.subject {
                if is_changed {
                    actions.push(Action::TellSubject(number));
                }
                if may_fail {
                    actions.push(Action::EndSubjectWatch(number));
                }
            }
            if automaton.wake(engine).is_some_and(|wake| wake <= self.now) {
                actions.push(Action::Wake(number));
            }
            match contender.stage {
                Stage::Wanting if may_fail => actions.push(Action::Cancel(number)),
                Stage::Holding | Stage::Lost => actions.push(Action::Release(number)),
                Stage::Wanting | Stage::Leaving | Stage::Left => {}
            }
            if may_fail {
                actions.push(Action::Crash(number));
                if automaton.kind() == Kind::Pod {
                    actions.push(Action::Replace(number));
                }
            }
        }
        let late = u8::try_from(self.late.len()).unwrap_or(u8::MAX);
        actions.extend((0..late).map(Action::ServeLate));
        if self.next_tick(automaton).is_some() && self.oversleepers(automaton) <= self.faults {
            actions.push(Action::Tick);
        }
        if let Some(there) = self
            .object
            .map(|object| automaton.kept(object))
            .filter(|_| may_fail)
        {
            if automaton.kind() != Kind::Pod && !there.is_reserved {
                actions.push(Action::Reserve);
            }
            if self.is_rubbish(there) {
                actions.push(Action::Tidy);
            }
        }
        actions
    }

    /// Contenders are alike, so they start in this order the first time.
    fn may_begin(&self, number: u8) -> bool {
        let contender = &self.contenders[usize::from(number)];
        let after = number.checked_sub(1).map(usize::from);
        contender.stage == Stage::Wanting
            && contender.life < self.lives
            && after.is_none_or(|before| self.contenders[before].life > 0)
    }

    /// The time to move on to: the next time somebody wants to wake.
    pub(crate) fn next_tick<L: Lock>(&self, automaton: &Automaton<L>) -> Option<u32> {
        let engines = self
            .contenders
            .iter()
            .filter_map(|contender| contender.engine);
        let wakes = engines.filter_map(|engine| automaton.wake(engine));
        wakes.filter(|wake| *wake > self.now).min()
    }

    /// How many contenders miss their wake-up if time moves on now, and have missed none so far.
    pub(crate) fn oversleepers<L: Lock>(&self, automaton: &Automaton<L>) -> u8 {
        let oversleep = self.contenders.iter().filter(|contender| {
            let engine = contender.engine.filter(|_| !contender.is_paused);
            let wake = engine.and_then(|engine| automaton.wake(engine));
            wake.is_some_and(|wake| wake <= self.now)
        });
        u8::try_from(oversleep.count()).unwrap_or(u8::MAX)
    }
}
