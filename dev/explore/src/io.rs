//! What goes into an engine and what comes out of it, with numbers in place of what is large.

use std::time::Duration;

use coord_lease::engine::Effect;

use crate::time::EPOCH;

/// What the server's clock showed with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock(pub(crate) u32);

impl Clock {
    pub(crate) fn shown(self) -> Option<Duration> {
        Some(EPOCH + Duration::from_secs(self.0.into()))
    }
}

/// Why a write was not done, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// There is another object, or another version of it.
    Taken,
    /// There is none.
    Gone,
    /// Refused unseen.
    Busy,
    /// No answer came.
    Silence,
}

/// What is handed to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    Time,
    Read(Option<u32>, Clock),
    NotRead,
    Written(Option<u32>, Clock),
    NotWritten(Refusal),
    SubjectRead(u32, bool, Clock),
    SubjectNotRead,
    Changed(u32),
    Deleted(u32),
    WatchEnded,
    SubjectChanged(u32, bool),
    SubjectWatchEnded,
    Release,
    Cancel,
}

/// What an engine wants done, or tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Output {
    Read,
    Create(u32),
    Update(u32),
    Delete(u32),
    Watch(Option<u32>),
    ReadSubject(u32),
    WatchSubject(u32),
    UnwatchSubject,
    Abandon,
    /// With a token, and until then in milliseconds.
    Acquired(Option<u64>, Option<u32>),
    Renewed(Option<u32>),
    Lost,
    Released,
    NotReleased,
    /// The attempt failed as it was wanted.
    Cancelled,
    Failed,
    /// Something else that is told.
    Said,
}

impl Input {
    /// Of a request that failed.
    pub(crate) fn effect(self) -> Effect {
        match self {
            Self::NotWritten(Refusal::Taken | Refusal::Gone) => Effect::Conflict,
            Self::NotWritten(Refusal::Silence) => Effect::Unknown,
            _ => Effect::None,
        }
    }

    /// Of an answer: whether there is an object of the lock's name.
    pub(crate) fn shows_an_object(self) -> bool {
        matches!(
            self,
            Self::Read(Some(_), _) | Self::Written(Some(_), _) | Self::NotWritten(Refusal::Taken)
        )
    }
}

impl Output {
    /// Whether it is sent to the server and answered.
    pub(crate) fn is_request(self) -> bool {
        self.is_write() || matches!(self, Self::Read | Self::ReadSubject(_))
    }

    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Create(_) | Self::Update(_) | Self::Delete(_))
    }

    /// What comes in place of its answer.
    pub(crate) fn failed(self, refusal: Refusal) -> Input {
        match self {
            Self::Read => Input::NotRead,
            Self::ReadSubject(_) => Input::SubjectNotRead,
            _ => Input::NotWritten(refusal),
        }
    }
}
