//! The rules of one kind of lock: what an object means, and the writes that claim, extend, release
//! and fence it.

use std::{error, fmt, time::Duration};

use coord_core::{BootInstant, errno::with_sources};

use crate::Version;

/// One kind of lock, for one contender.
///
/// It has no clock and does no I/O: the engine tells it what was seen, and asks it to judge that.
pub trait Protocol: Send + 'static {
    /// The lock's object, as its store keeps it.
    type Object: Clone + fmt::Debug + Send + 'static;
    /// What else decides whether the lock is held, such as the Pod that owns it.
    type Subject: Clone + fmt::Debug + PartialEq + Send + 'static;
    /// What is known of the subject.
    type Fact: fmt::Debug + Send + 'static;
    /// Who or what is in the way; its text follows "it is".
    type HeldBy: Clone + fmt::Debug + fmt::Display + Send + 'static;
    /// What a holder gets with its lease, such as a fencing token.
    type Grant: Clone + fmt::Debug + Send + 'static;
    /// Why the lock cannot be acquired, however long one waits.
    type Refusal: fmt::Debug + fmt::Display + Send + 'static;
    /// Other events for the lock's user.
    type Notice: fmt::Debug + Send + 'static;
    /// The error of a failed request.
    type Error: RequestError;

    /// How far the store's clock may be ahead of what it shows.
    const CLOCK_UNIT: Duration = Duration::ZERO;

    /// Whether to claim the lock without reading it first. A creation fails if the object exists.
    const CLAIMS_UNSEEN: bool = false;

    /// The version of this state of the object.
    fn version(&self, object: &Self::Object) -> Version;

    /// The lock was seen in this state; without an object, it does not exist.
    fn observe(&mut self, object: Option<&Self::Object>, now: Moment);

    /// What else must be known before anybody is waited for.
    fn subject(&self) -> Option<Self::Subject> {
        None
    }

    /// Whether to watch the subject after it was read.
    fn is_watched(&self, _subject: &Self::Subject) -> bool {
        false
    }

    /// Learns a fact about the subject, and returns what to report about it.
    fn learn(&mut self, _subject: &Self::Subject, _fact: Self::Fact) -> Option<Self::Notice> {
        None
    }

    /// The subject cannot be watched: returns what to report about that, once.
    fn unwatched(&mut self, _why: &Self::Error) -> Option<Self::Notice> {
        None
    }

    /// What the object means for a contender.
    fn judge(&self, object: Option<&Self::Object>, now: Moment) -> Verdict<Self>;

    /// Whether two obstacles count as the same, so that the second is not reported.
    fn is_same(&self, one: &Self::HeldBy, other: &Self::HeldBy) -> bool;

    /// Whether the object has a lease of ours; none when it cannot be read.
    fn has_lease(&self, object: &Self::Object) -> Option<bool>;

    /// The nonce of our lease in the object, or of our place in its queue.
    fn nonce(&self, object: &Self::Object) -> Option<Nonce>;

    /// How often its holder was passed before it acquired the lock, if the object says so.
    fn passed(&self, object: &Self::Object) -> Option<u32>;

    /// How many leases the lock had when it was last observed. Their holders all renew them, and
    /// leave time for each other.
    fn leases(&self) -> u32 {
        1
    }

    /// How many slots a newcomer leaves to waiters before it claims this free lock.
    fn room(&self, _object: &Self::Object) -> Option<u32> {
        None
    }

    /// What a holder gets with this object, which a write of ours made.
    ///
    /// # Errors
    /// When the store's answer is not fit for that.
    fn grant(&self, object: &Self::Object) -> Result<Self::Grant, Self::Error>;

    /// When the lease in this object ends, if our write sent at `sent` made it. If somebody else
    /// may have changed it since, the sending time is unknown.
    fn deadline(
        &mut self,
        object: &Self::Object,
        sent: Option<BootInstant>,
        now: Moment,
    ) -> Deadline;

    /// The write that claims the free lock, and what to report about it. A deletion only makes room
    /// for a creation.
    fn claim(
        &mut self,
        object: Option<&Self::Object>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<Self::Object>, Option<Self::Notice>);

    /// The write that extends a lease of ours: the granted one, or an existing one in order to
    /// acquire it.
    ///
    /// # Errors
    /// Why the lease cannot be extended.
    fn extend(
        &self,
        object: &Self::Object,
        grant: Option<&Self::Grant>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<Self::Object>, Failure<Self>>;

    /// The write that ends our lease and gives up our place in the queue; none if the object has
    /// nothing of ours.
    ///
    /// # Errors
    /// Why that cannot be done.
    fn release(
        &self,
        object: &Self::Object,
        now: Moment,
    ) -> Result<Option<Write<Self::Object>>, Failure<Self>>;

    /// When to write our place in the queue; none if the lock has no queue, or no write is needed.
    fn place_due(&self, _now: Moment) -> Option<BootInstant> {
        None
    }

    /// The write that gives us a place in the queue, or keeps our place.
    ///
    /// # Errors
    /// Why that cannot be done.
    fn take_place(
        &self,
        object: &Self::Object,
        _nonce: Nonce,
        _now: Moment,
    ) -> Result<Write<Self::Object>, Failure<Self>> {
        Ok(Write::Update(object.clone()))
    }

    /// The write that makes all earlier writes fail, and changes nothing else.
    fn fence(
        &self,
        object: Option<&Self::Object>,
        nonce: Nonce,
        now: Moment,
    ) -> Write<Self::Object>;
}

/// A lease to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewLease {
    /// Distinguishes this write from all others.
    pub nonce: Nonce,
    /// The length; none for a lease without an end.
    pub length: Option<Duration>,
    /// How often others were first while its holder waited; none if it has not waited.
    pub passed: Option<u32>,
}

impl NewLease {
    /// A lease without an end, for a holder that has not waited.
    #[must_use]
    pub fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            length: None,
            passed: None,
        }
    }
}

/// A number in a lease. It identifies a write whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub u64);

/// Written as sixteen hexadecimal digits.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A moment on two clocks: this machine's, and the store's as extrapolated by it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time on this machine's clock.
    pub boot: BootInstant,
    /// The time on the store's clock, once the store has told it.
    pub store: Option<StoreTime>,
}

/// Bounds of the store's clock, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTime {
    /// Not before this.
    pub earliest: Duration,
    /// Not after this: the answer was under way for some time.
    pub latest: Duration,
}

/// A write that takes effect only on top of the version that was judged.
#[derive(Clone, Debug)]
pub enum Write<O> {
    /// The object must not exist.
    Create(O),
    /// The object must still have this version.
    Update(O),
    /// The same.
    Delete(O),
}

/// When a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// At this time, unless it is extended.
    At(BootInstant),
    /// Never.
    Never,
    /// At the time that was known before.
    Unchanged,
}

/// What an object means for somebody who wants the lock.
pub enum Verdict<P: Protocol + ?Sized> {
    /// It can be claimed, by this contender and by any other that waits.
    Free,
    /// Nobody holds it since then. It is our turn once this many others have let theirs pass.
    Turn {
        /// Since when.
        since: BootInstant,
        /// How many others come first.
        before: u32,
    },
    /// A lease of ours exists, with this length if it has one.
    Ours(Option<Duration>),
    /// Somebody holds it, until this time at the latest.
    Held(P::HeldBy, Option<BootInstant>),
    /// Somebody is about to write, and has until this time. Even a contender that does not wait
    /// allows for that.
    Reserved(P::HeldBy, BootInstant),
    /// The answer depends on a subject that is not known yet.
    Unknown,
    /// The lock cannot be acquired.
    Impossible(P::Refusal),
}

/// Why a lock was not acquired, extended or released.
pub enum Failure<P: Protocol + ?Sized> {
    /// Somebody holds it, and the contender does not wait.
    Held(P::HeldBy),
    /// The lock could not be acquired within this time; what was in the way.
    TimedOut(Duration, String),
    /// The lock was lost.
    Lost(crate::LeaseLost),
    /// The caller cancelled the attempt.
    Cancelled,
    /// The lock cannot be acquired.
    Refused(P::Refusal),
    /// A request failed.
    Request(P::Error),
    /// The store has never answered; the error of the last request.
    Unanswered(P::Error),
    /// The store did not answer in time.
    Silent,
}

/// A failed request, as far as the engine is concerned.
pub trait RequestError: error::Error + Send + Sync + 'static {
    /// What is known of its effect.
    fn effect(&self) -> Effect;

    /// How long the store asks callers to wait.
    fn retry_after(&self) -> Option<Duration>;
}

/// What is known of the effect of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: the object is not in the state that the write requires.
    Conflict,
    /// None, now or later; the same request may succeed later.
    None,
    /// The write may have been done, or may still be done.
    Unknown,
    /// None, and the same request fails until somebody changes it or the permissions.
    Final,
}

impl Moment {
    /// A moment before the store's clock is known.
    #[must_use]
    pub fn new(boot: BootInstant) -> Self {
        Self { boot, store: None }
    }

    /// The later moment on both clocks.
    #[must_use]
    pub fn at(self, boot: BootInstant) -> Self {
        let passed = boot.since(self.boot);
        let store = self.store.map(|store| StoreTime {
            earliest: store.earliest + passed,
            latest: store.latest + passed,
        });
        Self {
            boot: self.boot + passed,
            store,
        }
    }
}

impl Deadline {
    pub(super) fn over(self, before: Option<BootInstant>) -> Option<BootInstant> {
        match self {
            Self::At(at) => Some(at),
            Self::Never => None,
            Self::Unchanged => before,
        }
    }
}

impl<P: Protocol + ?Sized> fmt::Debug for Verdict<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("Free"),
            Self::Turn { since, before } => {
                f.debug_tuple("Turn").field(since).field(before).finish()
            }
            Self::Ours(length) => f.debug_tuple("Ours").field(length).finish(),
            Self::Held(by, until) => f.debug_tuple("Held").field(by).field(until).finish(),
            Self::Reserved(by, until) => f.debug_tuple("Reserved").field(by).field(until).finish(),
            Self::Unknown => f.write_str("Unknown"),
            Self::Impossible(why) => f.debug_tuple("Impossible").field(why).finish(),
        }
    }
}

impl<P: Protocol + ?Sized> fmt::Debug for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(by) => f.debug_tuple("Held").field(by).finish(),
            Self::TimedOut(limit, why) => {
                f.debug_tuple("TimedOut").field(limit).field(why).finish()
            }
            Self::Lost(why) => f.debug_tuple("Lost").field(why).finish(),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
            Self::Request(error) => f.debug_tuple("Request").field(error).finish(),
            Self::Unanswered(error) => f.debug_tuple("Unanswered").field(error).finish(),
            Self::Silent => f.write_str("Silent"),
        }
    }
}

/// The reason alone, with its causes.
impl<P: Protocol + ?Sized> fmt::Display for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(by) => write!(f, "it is {by}"),
            Self::TimedOut(limit, why) => write!(f, "not within {limit:?}: {why}"),
            Self::Lost(why) => why.fmt(f),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Refused(why) => why.fmt(f),
            Self::Request(error) | Self::Unanswered(error) => f.write_str(&with_sources(error)),
            Self::Silent => f.write_str("the store did not answer in time"),
        }
    }
}
