//! Handles the store's answers and the watches' reports.

use coord_core::errno::with_sources;

use super::{
    Effect, Event, Failure, Goal, Input, Phase, Protocol, RequestError,
    core::Core,
    failures::Asked,
    known::{Pending, Sent},
    releasing::Releasing,
};

impl<P: Protocol> Phase<P> {
    pub(super) fn take(self, input: Input<P>, core: &mut Core<P>) -> Self {
        match input {
            Input::Time => self,
            Input::Read(answer, clock) => {
                let Some(Pending::Read { sent }) = core.pending.take() else {
                    return self;
                };
                let answer = answer.map(|object| {
                    core.set_clock(clock, sent);
                    core.answered(Asked::Read, sent);
                    core.stale = false;
                    core.is_now(object);
                });
                self.answered(answer, core)
            }
            Input::SubjectRead(answer, clock) => {
                let Some(Pending::Subject { subject, sent }) = core.pending.take() else {
                    return self;
                };
                let answer = answer.map(|fact| {
                    core.set_clock(clock, sent);
                    core.answered(Asked::Read, sent);
                    core.subject_read(subject, fact);
                });
                self.answered(answer, core)
            }
            Input::Written(answer, clock) => {
                let Some(Pending::Write(sent)) = core.pending.take() else {
                    return self;
                };
                core.set_clock(clock.filter(|_| answer.is_ok()), sent.at);
                self.written(sent, answer, core)
            }
            Input::Changed(object) => {
                core.heard(object);
                self
            }
            Input::Deleted(version) => {
                core.heard_of_deletion(version);
                self
            }
            Input::WatchEnded(error) => self.watch_ended(error, core),
            Input::SubjectChanged(fact) => {
                core.subject_changed(fact);
                self
            }
            Input::SubjectWatchEnded(error) => {
                core.subject_watch_ended(error);
                self
            }
            Input::Renew => self.renew_now(core),
            Input::Cancel => match self {
                Self::Holding(holding) => holding.cancelled(core),
                _ => self.give_up(Failure::Cancelled, core),
            },
            Input::Release => self.release(core),
            Input::Abandoned => match self {
                Self::Acquiring(_) => self.give_up(Failure::Cancelled, core),
                _ => self.release(core),
            },
        }
    }

    /// A read was answered.
    fn answered(mut self, answer: Result<(), P::Error>, core: &mut Core<P>) -> Self {
        match answer {
            Ok(()) => {
                if let Self::Acquiring(acquiring) = &mut self {
                    acquiring.answered = true;
                }
                self
            }
            Err(error) => self.failed(Asked::Read, error, core),
        }
    }

    fn written(
        mut self,
        sent: Sent,
        answer: Result<Option<P::Object>, P::Error>,
        core: &mut Core<P>,
    ) -> Self {
        let error = match answer {
            Ok(object) => {
                core.answered(Asked::Write, sent.at);
                core.failures.conflicts = 0;
                core.stale = false;
                core.is_now(object);
                return self.done(&sent, core);
            }
            Err(error) => error,
        };
        match error.effect() {
            Effect::Conflict => {
                core.answered(Asked::Read, sent.at);
                let mut in_crowd = false;
                if let Self::Acquiring(acquiring) = &mut self {
                    acquiring.answered = true;
                    let waited = std::mem::replace(&mut acquiring.waited, true);
                    let holds = core.settings.goal == Goal::Renew;
                    in_crowd = !holds && (waited || !P::CLAIMS_UNSEEN);
                }
                core.collided(sent.base, in_crowd);
                self
            }
            Effect::Unknown => {
                core.doubt(sent);
                core.stale = true;
                self.failed(Asked::Write, error, core)
            }
            Effect::None | Effect::Final => self.failed(Asked::Write, error, core),
        }
    }

    /// A write of ours was done, and the store confirmed it.
    fn done(self, sent: &Sent, core: &mut Core<P>) -> Self {
        match self {
            Self::Acquiring(acquiring) => acquiring.written(sent, core),
            Self::Holding(holding) => holding.written(sent, core),
            Self::Releasing(releasing) => releasing.written(core),
            Self::Lost | Self::Done => self,
        }
    }

    /// A request was refused or not answered.
    fn failed(self, asked: Asked, error: P::Error, core: &mut Core<P>) -> Self {
        let is_final = error.effect() == Effect::Final;
        match self {
            Self::Acquiring(_) if is_final => self.give_up(Failure::Request(error), core),
            Self::Releasing(releasing) if is_final => {
                releasing.left_something(Failure::Request(error), core)
            }
            Self::Acquiring(mut acquiring) => {
                core.failed(asked, Some(&error));
                core.unreachable(&error);
                acquiring.failed(error);
                Self::Acquiring(acquiring)
            }
            Self::Holding(holding) => {
                core.failed(asked, Some(&error));
                Self::Holding(holding.failed(error, core))
            }
            Self::Releasing(_) => {
                core.failed(asked, Some(&error));
                core.unreachable(&error);
                self
            }
            Self::Lost | Self::Done => self,
        }
    }

    fn watch_ended(self, error: Option<P::Error>, core: &mut Core<P>) -> Self {
        let waits = matches!(self, Self::Acquiring(_));
        match error {
            _ if !waits && !matches!(self, Self::Holding(_)) => {
                core.watch.stop();
                self
            }
            Some(error) if error.effect() == Effect::Final => {
                core.watch.deny();
                core.stale = true;
                if waits {
                    return self.give_up(Failure::Request(error), core);
                }
                core.tell(Event::NotWatched(with_sources(&error)));
                self
            }
            error => {
                core.watch_broke(error.as_ref());
                self
            }
        }
    }

    pub(super) fn release(self, core: &mut Core<P>) -> Self {
        match self {
            Self::Releasing(_) | Self::Done => self,
            _ => Releasing::begin(
                Releasing::of_our_id(core.now.boot, core.settings.length),
                core,
            ),
        }
    }

    /// Ends the attempt, once none of its writes can still be done.
    pub(super) fn give_up(self, why: Failure<P>, core: &mut Core<P>) -> Self {
        match self {
            Self::Acquiring(_) => Releasing::after(why, core),
            other => other,
        }
    }

    fn renew_now(self, core: &Core<P>) -> Self {
        match self {
            Self::Holding(holding) => Self::Holding(holding.renew_now(core)),
            other => other,
        }
    }
}

impl<P: Protocol> Core<P> {
    /// The next read will show whether the store answers at all.
    fn watch_broke(&mut self, error: Option<&P::Error>) {
        let wanted = error.and_then(RequestError::retry_after);
        let (now, random) = (self.now.boot, &mut self.random);
        let is_news = self.watch.ended(error.is_some(), wanted, now, random);
        if let Some(error) = error.filter(|_| is_news) {
            self.tell(Event::NotWatched(with_sources(error)));
        }
    }
}
