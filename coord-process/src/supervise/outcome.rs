//! How CMD ended, and why.

use coord_core::Status;

/// The result when CMD and everything that it started have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How CMD ended.
    pub exit: Exit,
    /// Why it ended.
    pub end: End,
}

/// How CMD itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// Why CMD ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal from somebody else.
    Own,
    /// [`Ender::end`](super::Ender::end) requested it.
    Asked(Reason),
    /// The deadline was near.
    Deadline,
}

/// Why a caller ends CMD, and the exit status that this gives the caller's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    text: &'static str,
    status: Status,
}

impl Outcome {
    /// A wrapper's exit status: CMD's own, the reason's if a caller ended CMD, or 122 if the
    /// deadline ended it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.end {
            End::Own => self.exit.status(),
            End::Asked(reason) => reason.status,
            End::Deadline => Status::LOST,
        }
    }
}

impl Exit {
    /// The status itself, or 128 plus the signal's number.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Code(code) => Status::from_code(code),
            Self::Signal(number) => Status::from_signal(number),
        }
    }
}

impl Reason {
    /// A reason in words, and the status that stands for it.
    #[must_use]
    pub const fn new(text: &'static str, status: Status) -> Self {
        Self { text, status }
    }

    /// The reason in words.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.text
    }
}
