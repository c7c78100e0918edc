//! Inputs and outputs of an engine, with numbers instead of large values.

use std::time::Duration;

use coord_lease::engine::Effect;

use crate::time::EPOCH;

/// The server's clock in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock(pub(crate) u32);

impl Clock {
    pub(crate) fn shown(self) -> Option<Duration> {
        Some(EPOCH + Duration::from_secs(self.0.into()))
    }
}

/// Why a write was not done, or may not have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// There is another object, or another version.
    Taken,
    /// The object does not exist.
    Gone,
    /// Refused without looking.
    Busy,
    /// No answer came.
    Silence,
}

/// An input for an engine.
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

/// An output of an engine.
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
    /// With its token, and until when, in milliseconds.
    Acquired(Option<u64>, Option<u32>),
    Renewed(Option<u32>),
    Lost,
    Released,
    NotReleased,
    /// The attempt was cancelled as requested.
    Cancelled,
    Failed,
    /// Another report.
    Said,
}

impl Input {
    /// The effect of a failed request.
    pub(crate) fn effect(self) -> Effect {
        match self {
            Self::NotWritten(Refusal::Taken | Refusal::Gone) => Effect::Conflict,
            Self::NotWritten(Refusal::Silence) => Effect::Unknown,
            _ => Effect::None,
        }
    }

    /// Whether this answer shows that an object with the lock's name exists.
    pub(crate) fn shows_an_object(self) -> bool {
        matches!(
            self,
            Self::Read(Some(_), _) | Self::Written(Some(_), _) | Self::NotWritten(Refusal::Taken)
        )
    }
}

impl Output {
    /// Whether the server answers it.
    pub(crate) fn is_request(self) -> bool {
        self.is_write() || matches!(self, Self::Read | Self::ReadSubject(_))
    }

    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Create(_) | Self::Update(_) | Self::Delete(_))
    }

    /// The input when it fails.
    pub(crate) fn failed(self, refusal: Refusal) -> Input {
        match self {
            Self::Read => Input::NotRead,
            Self::ReadSubject(_) => Input::SubjectNotRead,
            _ => Input::NotWritten(refusal),
        }
    }
}
