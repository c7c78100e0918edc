//! Future events.

use coord_lease::{
    Version,
    engine::{Effect, Write},
};

use super::{
    game::{Game, InputOf, StoredOf, SubjectOf},
    network::Fate,
};

/// The request or watch of an input: the input counts only if that is still the latest one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tag {
    Request(u64),
    Watch(u64),
    SubjectWatch(u64),
    Alarm(u64),
    None,
}

pub(super) enum Request<G: Game> {
    Read,
    Subject(SubjectOf<G>),
    Write(Write<StoredOf<G>>),
}

impl<G: Game> Clone for Request<G> {
    fn clone(&self) -> Self {
        match self {
            Self::Read => Self::Read,
            Self::Subject(subject) => Self::Subject(subject.clone()),
            Self::Write(write) => Self::Write(write.clone()),
        }
    }
}

/// A write of another program.
pub(super) struct GoWrite<G: Game> {
    pub(super) go: usize,
    pub(super) id: String,
    pub(super) object: StoredOf<G>,
    /// How often the store had been restored when it was sent.
    pub(super) restored: u64,
    /// The answer arrives in time.
    pub(super) answered: bool,
}

pub(super) enum Event<G: Game> {
    Begin(usize),
    Arrive {
        node: usize,
        life: u32,
        number: u64,
        request: Request<G>,
        fate: Fate,
        /// How often the store had been restored when it was sent.
        restored: u64,
    },
    WatchArrives {
        node: usize,
        life: u32,
        number: u64,
        since: Option<Version>,
    },
    Deliver {
        node: usize,
        life: u32,
        tag: Tag,
        input: InputOf<G>,
    },
    Resume(usize),
    Crash(usize, u32),
    Fault,
    GoStep(usize, u64),
    GoArrives(GoWrite<G>),
    GoAnswer(usize, String, Result<StoredOf<G>, Effect>),
    Tidy,
}
