//! What else must be known of a lock that is waited for, such as its owner. It is read, then
//! watched.

use std::time::Duration;

use coord_core::BootInstant;

use super::{
    Effect, Event, Output, Protocol, RequestError,
    core::Core,
    known::Pending,
    watcher::{LASTING, Watcher},
};

/// How long to leave a new holder alone: most are done before there is anything to know about them.
const SETTLED: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Beside<S> {
    pub(super) subject: Option<S>,
    /// When to read it; none while it is watched, or is known for good.
    pub(super) read_at: Option<BootInstant>,
    watch: Watcher,
    /// Another subject was watched before.
    is_later: bool,
}

impl<S> Beside<S> {
    pub(super) fn new(longest_pause: Duration, now: BootInstant) -> Self {
        Self {
            subject: None,
            read_at: None,
            watch: Watcher::new(longest_pause, now),
            is_later: false,
        }
    }
}

impl<P: Protocol> Core<P> {
    /// Asks the protocol which subject matters now.
    pub(super) fn wants_subject(&mut self) {
        let wanted = self.protocol.subject();
        if wanted == self.beside.subject {
            return;
        }
        self.unwatch_subject();
        let settles = self.beside.is_later;
        let pause = if settles { SETTLED } else { Duration::ZERO };
        self.beside.read_at = wanted.as_ref().map(|_| self.now.boot + pause);
        self.beside.subject = wanted;
    }

    fn unwatch_subject(&mut self) {
        if self.beside.watch.stop() {
            self.outputs.push_back(Output::UnwatchSubject);
        }
    }

    pub(super) fn subject_is_due(&self) -> bool {
        self.beside.read_at.is_some_and(|at| at <= self.now.boot)
    }

    pub(super) fn read_subject(&mut self) {
        if let Some(subject) = self.beside.subject.clone() {
            let sent = self.now.boot;
            self.outputs.push_back(Output::ReadSubject(subject.clone()));
            self.pending = Some(Pending::Subject { subject, sent });
        }
    }

    /// The subject was read. It is watched from there, unless another subject matters by now.
    pub(super) fn subject_read(&mut self, subject: P::Subject, fact: P::Fact) {
        if self.beside.subject.as_ref() != Some(&subject) {
            return;
        }
        self.learn(&subject, fact);
        self.beside.read_at = None;
        if !self.protocol.is_watched(&subject) {
            return self.wants_subject();
        }
        self.beside.is_later = true;
        self.beside.watch.look();
        if self.beside.watch.is_denied() {
            self.beside.read_at = Some(self.now.boot + LASTING);
        } else if self.beside.watch.begin(self.now.boot) {
            self.outputs.push_back(Output::WatchSubject(subject));
        }
    }

    fn learn(&mut self, subject: &P::Subject, fact: P::Fact) {
        if let Some(notice) = self.protocol.learn(subject, fact) {
            self.tell(Event::Notice(notice));
        }
    }

    /// The watch has reported this fact. A report of a watch that is over is about something else.
    pub(super) fn subject_changed(&mut self, fact: P::Fact) {
        let is_on = self.beside.watch.is_on();
        if let Some(subject) = self.beside.subject.clone().filter(|_| is_on) {
            self.learn(&subject, fact);
            if !self.protocol.is_watched(&subject) {
                self.unwatch_subject();
            }
        }
    }

    pub(super) fn subject_watch_ended(&mut self, error: Option<P::Error>) {
        let now = self.now.boot;
        match error {
            Some(error) if error.effect() == Effect::Final => {
                self.beside.watch.deny();
                self.beside.read_at = Some(now + LASTING);
                if let Some(notice) = self.protocol.unwatched(&error) {
                    self.tell(Event::Notice(notice));
                }
            }
            error => {
                let wanted = error.as_ref().and_then(RequestError::retry_after);
                let watch = &mut self.beside.watch;
                watch.ended(error.is_some(), wanted, now, &mut self.random);
                self.beside.read_at = watch.again_at();
            }
        }
    }
}
