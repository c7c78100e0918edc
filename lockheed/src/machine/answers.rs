//! What the store has answered or told, and what is known from it.

use std::{mem, time::Duration};

use coord_core::errno::with_sources;

use super::{Latest, Machine, News, Pending, Phase, WatchState, Write};
use crate::{
    Record, Timestamp,
    error::Kind,
    store::{Change, Object, RECORD, StoreError, StoreErrorKind, Version},
};

impl Machine {
    pub(super) fn read(&mut self, answer: Result<(Option<Object>, Timestamp), StoreError>) {
        let Some(Pending::Read { sent }) = self.pending.take() else {
            return;
        };
        match answer {
            Ok((object, store)) => {
                self.now.store = store;
                self.slack = self.now.boot.saturating_sub(sent);
                self.answered(sent);
                self.stale = false;
                match object {
                    Some(object) => self.learn(object),
                    None => self.learn_absent(None),
                }
            }
            Err(error) => self.failed(error),
        }
    }

    pub(super) fn written(&mut self, answer: Result<Object, StoreError>) {
        let Some(Pending::Write(write)) = self.pending.take() else {
            return;
        };
        match answer {
            Ok(object) => {
                self.answered(write.sent);
                self.doubts.clear();
                self.learn(object.clone());
                self.done(&write, &object);
            }
            Err(error) => match error.kind() {
                StoreErrorKind::Conflict | StoreErrorKind::Exists | StoreErrorKind::NotFound => {
                    self.answered(write.sent);
                    self.collided();
                }
                StoreErrorKind::Unknown => {
                    self.doubts.push(write);
                    self.stale = true;
                    self.failed(error);
                }
                _ => self.failed(error),
            },
        }
    }

    /// Somebody else has written since: it is read and judged again.
    pub(super) fn collided(&mut self) {
        self.crowd.collided();
        self.stale = true;
        if let Phase::Acquiring(acquiring) = &mut self.phase {
            acquiring.waited = true;
        }
    }

    /// A write of ours was done, and said so.
    pub(super) fn done(&mut self, write: &Write, object: &Object) {
        match self.phase {
            Phase::Acquiring(_) => self.acquired_by(write, object),
            Phase::Holding(_) => self.renewed_by(write),
            Phase::Leaving(_) => self.left(),
            Phase::Lost | Phase::Done => {}
        }
    }

    /// A request was not answered, or refused.
    pub(super) fn failed(&mut self, error: StoreError) {
        let pause = self.backoff.pause(&mut self.random, error.wanted_wait());
        self.pause_until = Some(self.now.boot + pause);
        let final_ = matches!(
            error.kind(),
            StoreErrorKind::Denied | StoreErrorKind::Invalid
        );
        match self.phase {
            Phase::Acquiring(_) if final_ => self.give_up(Kind::Store(error)),
            Phase::Leaving(_) if final_ => self.stay(Kind::Store(error)),
            Phase::Acquiring(_) => self.not_answered(error),
            Phase::Holding(_) => self.not_renewed(error),
            Phase::Leaving(_) => self.unreachable(&error),
            Phase::Lost | Phase::Done => {}
        }
    }

    pub(super) fn answered(&mut self, sent: Duration) {
        self.backoff.reset();
        self.pause_until = None;
        self.crowd
            .answered_after(self.now.boot.saturating_sub(sent));
        if let Phase::Acquiring(acquiring) = &mut self.phase {
            acquiring.answered = true;
        }
        if mem::take(&mut self.unreachable) {
            self.tell(News::Reachable);
        }
    }

    pub(super) fn changed(&mut self, change: Change) {
        match change {
            Change::Written(object) => self.learn(object),
            Change::Deleted(object) => {
                if !self.is_old(&object.version) {
                    self.learn_absent(Some(object.version));
                }
            }
        }
    }

    pub(super) fn watch_ended(&mut self, error: Option<StoreError>) {
        self.watch = WatchState::Off;
        if !matches!(self.phase, Phase::Acquiring(_) | Phase::Holding(_)) {
            return;
        }
        self.stale = true;
        match error {
            Some(error) if error.kind() == StoreErrorKind::Denied => {
                self.watch = WatchState::Denied;
                if matches!(self.phase, Phase::Acquiring(_)) {
                    self.give_up(Kind::Store(error));
                }
            }
            error => {
                let wanted = error.as_ref().and_then(StoreError::wanted_wait);
                let pause = self.backoff.pause(&mut self.random, wanted);
                self.pause_until = Some(self.now.boot + pause);
                if let Some(error) = error {
                    self.unreachable(&error);
                }
            }
        }
    }

    pub(super) fn learn(&mut self, object: Object) {
        if self.is_old(&object.version) {
            return;
        }
        let text = object.data.get(RECORD);
        let record = text
            .ok_or_else(|| format!("it has no {RECORD:?} entry"))
            .and_then(|text| Record::from_json(text).map_err(|error| error.to_string()));
        if let Ok(record) = &record {
            self.sightings.look(&object, record, self.now);
        }
        self.latest = Latest::There(Box::new(object), record);
    }

    pub(super) fn learn_absent(&mut self, version: Option<Version>) {
        self.sightings.forget();
        self.latest = Latest::Absent(version);
    }

    /// Whether something newer is known. What a read says is never older than what was known when it was sent.
    pub(super) fn is_old(&self, version: &Version) -> bool {
        match &self.latest {
            Latest::There(object, _) => version.is_before(&object.version),
            Latest::Absent(Some(deleted)) => version.is_before(deleted),
            _ => false,
        }
    }

    pub(super) fn unreachable(&mut self, error: &StoreError) {
        if !mem::replace(&mut self.unreachable, true) {
            self.tell(News::Unreachable(with_sources(error)));
        }
    }
}
