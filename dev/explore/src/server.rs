//! The store: how it handles requests and reports changes.

use sim::Flaw;

use crate::{
    automaton::{Automaton, Kept},
    io::{Clock, Input, Output, Refusal},
    lock::{Id, Lock},
    world::{Happened, World},
};

impl World {
    /// A request arrives; returns the answer.
    pub(crate) fn serve<L: Lock>(
        &mut self,
        id: Id,
        request: Output,
        automaton: &mut Automaton<L>,
    ) -> Result<Input, String> {
        let clock = Clock(self.now);
        let is_unversioned = automaton.flaw() == Some(Flaw::SkipVersion);
        Ok(match request {
            Output::ReadSubject(subject) => {
                let is_there = self.is_there(subject, automaton);
                Input::SubjectRead(subject, is_there, clock)
            }
            Output::Create(_) if self.object.is_some() => Input::NotWritten(Refusal::Taken),
            Output::Create(object) => {
                let there = self.put(Some(id), object, true, automaton)?;
                Input::Written(Some(there), clock)
            }
            Output::Update(object) | Output::Delete(object) => {
                let refusal = self.compare(automaton.kept(object), automaton);
                match refusal.filter(|_| !is_unversioned) {
                    Some(refusal) => Input::NotWritten(refusal),
                    None if matches!(request, Output::Delete(_)) => {
                        self.remove();
                        Input::Written(None, clock)
                    }
                    None => {
                        let there = self.put(Some(id), object, false, automaton)?;
                        Input::Written(Some(there), clock)
                    }
                }
            }
            _ => Input::Read(self.object, clock),
        })
    }

    /// Why a write based on this state cannot be done.
    fn compare<L: Lock>(&self, wanted: &Kept<L>, automaton: &Automaton<L>) -> Option<Refusal> {
        let Some(there) = self.object.map(|object| automaton.kept(object)) else {
            return Some(Refusal::Gone);
        };
        let is_same = (there.uid, there.version) == (wanted.uid, wanted.version);
        (!is_same).then_some(Refusal::Taken)
    }

    fn put<L: Lock>(
        &mut self,
        writer: Option<Id>,
        object: u32,
        is_new: bool,
        automaton: &mut Automaton<L>,
    ) -> Result<u32, String> {
        self.version += 1;
        let there = automaton.stamp(object, self.version, is_new);
        self.keep(writer, there, automaton)?;
        Ok(there)
    }

    /// Stores the new state.
    fn keep<L: Lock>(
        &mut self,
        writer: Option<Id>,
        there: u32,
        automaton: &Automaton<L>,
    ) -> Happened {
        let before = self.holders(automaton);
        self.object = Some(there);
        self.tell(Input::Changed(there));
        self.check
            .written(writer, before, automaton.kept(there), self.now)
    }

    /// Deletes the object.
    pub(crate) fn remove(&mut self) {
        self.version += 1;
        self.object = None;
        self.check.deleted();
        self.tell(Input::Deleted(self.version));
    }

    fn tell(&mut self, change: Input) {
        let watches = self.contenders.iter_mut();
        for changes in watches.filter_map(|contender| contender.watch.as_mut()) {
            changes.push(change);
        }
    }

    /// The change after this version.
    pub(crate) fn change_since<L: Lock>(
        &self,
        since: Option<u32>,
        automaton: &Automaton<L>,
    ) -> Option<Input> {
        match self.object {
            Some(object) => {
                let version = automaton.kept(object).version;
                let is_newer = since.is_none_or(|since| since < version);
                is_newer.then_some(Input::Changed(object))
            }
            None => {
                let is_newer = since.is_some_and(|since| since < self.version);
                is_newer.then_some(Input::Deleted(self.version))
            }
        }
    }

    /// Whether the subject's Pod exists.
    pub(crate) fn is_there<L: Lock>(&self, subject: u32, automaton: &Automaton<L>) -> bool {
        let pod = automaton.pod_of(subject);
        pod.is_none_or(|pod| self.has_pod(pod))
    }

    fn has_pod(&self, (contender, generation): (u8, u8)) -> bool {
        self.contender(contender).pod == generation
    }

    /// Whether nobody needs this object: it has no lease, or its Pod is gone.
    pub(crate) fn is_rubbish<L: Lock>(&self, object: &Kept<L>) -> bool {
        match object.owner {
            Some(pod) => !self.has_pod(pod),
            None => object.holders(self.now) == 0,
        }
    }

    /// A Go program announces a write, and dies.
    pub(crate) fn reserve<L: Lock>(&mut self, automaton: &mut Automaton<L>) -> Happened {
        let Some(object) = self.object else {
            return Ok(());
        };
        let Some(there) = automaton.reserved(object, self.now, self.version + 1) else {
            return Ok(());
        };
        self.version += 1;
        self.keep(None, there, automaton)
    }
}
