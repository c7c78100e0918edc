//! What one kind of lock tells the engine: what an object means, and what claims, extends, releases and fences it.

use std::{error, fmt, time::Duration};

use coord_core::{BootInstant, errno::with_sources};

use crate::Version;

/// One kind of lock, on behalf of one contender.
///
/// It has no clock and does no I/O: it is told what was seen, and judges that when it is asked.
pub trait Protocol: Send + 'static {
    /// The lock's object, as its store keeps it.
    type Object: Clone + fmt::Debug + Send + 'static;
    /// What else decides whether the lock is held, such as the Pod that owns it.
    type Subject: Clone + fmt::Debug + PartialEq + Send + 'static;
    /// What is known of that.
    type Fact: fmt::Debug + Send + 'static;
    /// Who or what is in the way; shown, it goes on after "it is".
    type HeldBy: Clone + fmt::Debug + fmt::Display + Send + 'static;
    /// What a holder has by its lease, such as a fencing token.
    type Grant: Clone + fmt::Debug + Send + 'static;
    /// Why the lock cannot be had, however long one waits.
    type Refusal: fmt::Debug + fmt::Display + Send + 'static;
    /// What else whoever uses the lock wants to know.
    type Notice: fmt::Debug + Send + 'static;
    /// A request that failed.
    type Error: RequestError;

    /// How much later than it says it may be by the store's clock.
    const CLOCK_UNIT: Duration = Duration::ZERO;

    /// Whether the lock is claimed before it was read, since a creation fails where there is one.
    const CLAIMS_UNSEEN: bool = false;

    /// Which state of the object this is.
    fn version(&self, object: &Self::Object) -> Version;

    /// The lock was seen so; without an object there is none.
    fn observe(&mut self, object: Option<&Self::Object>, now: Moment);

    /// What else must be known before anybody is waited for.
    fn subject(&self) -> Option<Self::Subject> {
        None
    }

    /// Whether that is worth being watched, after it was read.
    fn is_watched(&self, _subject: &Self::Subject) -> bool {
        false
    }

    /// It is so; and what to say of that.
    fn learn(&mut self, _subject: &Self::Subject, _fact: Self::Fact) -> Option<Self::Notice> {
        None
    }

    /// It cannot be watched: what to say of that, once.
    fn unwatched(&mut self, _why: &Self::Error) -> Option<Self::Notice> {
        None
    }

    /// What the object that was seen means for somebody who wants the lock.
    fn judge(&self, object: Option<&Self::Object>, now: Moment) -> Verdict<Self>;

    /// Whether two obstacles are the same news.
    fn is_same(&self, one: &Self::HeldBy, other: &Self::HeldBy) -> bool;

    /// Whether the object has a lease of ours; none when that cannot be read.
    fn has_lease(&self, object: &Self::Object) -> Option<bool>;

    /// The nonce of our lease in it, or of our place in its queue.
    fn nonce(&self, object: &Self::Object) -> Option<Nonce>;

    /// How often its holder was passed before it came to hold the lock, where the object tells.
    fn passed(&self, object: &Self::Object) -> Option<u32>;

    /// How many slots a newcomer leaves to waiters before it claims this lock, which is free.
    fn room(&self, _object: &Self::Object) -> Option<u32> {
        None
    }

    /// What a holder has by this object, which a write of ours made.
    ///
    /// # Errors
    /// When the store's answer is not fit for that.
    fn grant(&self, object: &Self::Object) -> Result<Self::Grant, Self::Error>;

    /// Until when the lease in this object lasts that a write of ours made, which was sent then. Of one that somebody else
    /// may have changed since, nobody knows when it was sent.
    fn deadline(
        &mut self,
        object: &Self::Object,
        sent: Option<BootInstant>,
        now: Moment,
    ) -> Deadline;

    /// What claims the lock, which is free, and what to say of that. A deletion only makes room for a creation.
    fn claim(
        &mut self,
        object: Option<&Self::Object>,
        lease: NewLease,
        now: Moment,
    ) -> (Write<Self::Object>, Option<Self::Notice>);

    /// What extends a lease of ours: the one that was granted, or one that is there already, to acquire it.
    ///
    /// # Errors
    /// Why that cannot be.
    fn extend(
        &self,
        object: &Self::Object,
        grant: Option<&Self::Grant>,
        lease: NewLease,
        now: Moment,
    ) -> Result<Write<Self::Object>, Failure<Self>>;

    /// What ends our lease, and gives up our place in the queue; none where the object has nothing
    /// of ours.
    ///
    /// # Errors
    /// Why that cannot be.
    fn release(
        &self,
        object: &Self::Object,
        now: Moment,
    ) -> Result<Option<Write<Self::Object>>, Failure<Self>>;

    /// When to write our place in the queue of those who wait for the lock; none where that has no
    /// queue, or nothing is to be written.
    fn place_due(&self, _now: Moment) -> Option<BootInstant> {
        None
    }

    /// What gives us a place in the queue, or keeps the one that we have.
    ///
    /// # Errors
    /// Why that cannot be.
    fn take_place(
        &self,
        object: &Self::Object,
        _nonce: Nonce,
        _now: Moment,
    ) -> Result<Write<Self::Object>, Failure<Self>> {
        Ok(Write::Update(object.clone()))
    }

    /// What makes every write fail that was sent before, and changes nothing else.
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
    /// Tells this write from all others.
    pub nonce: Nonce,
    /// How long it is; none for one without an end.
    pub length: Option<Duration>,
    /// How often somebody else was first while it was waited for; none for whoever has not waited.
    pub passed: Option<u32>,
}

impl NewLease {
    /// One without an end, for nobody who has waited.
    #[must_use]
    pub fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            length: None,
            passed: None,
        }
    }
}

/// A number in a lease by which a write is recognised whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub u64);

/// Sixteen hexadecimal digits.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A moment on both clocks: this machine's, and the store's carried forward by it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// This machine's.
    pub boot: BootInstant,
    /// The store's, where it has told it.
    pub store: Option<StoreTime>,
}

/// What the store's clock shows, since the Unix epoch: something between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTime {
    /// Not before this.
    pub earliest: Duration,
    /// Not after this: its answer was under way for some time.
    pub latest: Duration,
}

/// A write that takes effect only on top of the version that was judged.
#[derive(Clone, Debug)]
pub enum Write<O> {
    /// There must be none.
    Create(O),
    /// It must have this version still.
    Update(O),
    /// The same.
    Delete(O),
}

/// Until when a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Until then, if it is not extended.
    At(BootInstant),
    /// For ever.
    Never,
    /// As long as was known before.
    Unchanged,
}

/// What an object means for somebody who wants the lock.
pub enum Verdict<P: Protocol + ?Sized> {
    /// It can be claimed, as by whoever else waits for it.
    Free,
    /// Nobody holds it since then, and it is our turn after so many others have let theirs pass.
    Turn {
        /// Since when.
        since: BootInstant,
        /// How many others come first.
        before: u32,
    },
    /// A lease of ours is there, of this length if it has one.
    Ours(Option<Duration>),
    /// Somebody holds it, at the latest until then.
    Held(P::HeldBy, Option<BootInstant>),
    /// Somebody is about to write, and has until then. Who does not wait waits for that.
    Reserved(P::HeldBy, BootInstant),
    /// It depends on what else must be known, and is not.
    Unknown,
    /// It cannot be had.
    Impossible(P::Refusal),
}

/// How a lock was not acquired, not extended, or not released.
pub enum Failure<P: Protocol + ?Sized> {
    /// Somebody holds it, and is not waited for.
    Held(P::HeldBy),
    /// It could not be acquired within this time; what was in the way.
    TimedOut(Duration, String),
    /// It is held no more.
    Lost(crate::LeaseLost),
    /// Whoever wanted it wants it no more.
    Cancelled,
    /// It cannot be had.
    Refused(P::Refusal),
    /// A request failed.
    Request(P::Error),
    /// The store has never answered; what the last request failed with.
    Unanswered(P::Error),
    /// The store did not answer in time.
    Silent,
}

/// A request that failed, as far as the engine is concerned.
pub trait RequestError: error::Error + Send + Sync + 'static {
    /// What is known of its effect.
    fn effect(&self) -> Effect;

    /// How long the store wants to be left alone.
    fn retry_after(&self) -> Option<Duration>;
}

/// What is known of the effect of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: the object is not in the state that the write was for.
    Conflict,
    /// None, now or later; the same request may work later.
    None,
    /// A write may have been done, or may still be.
    Unknown,
    /// None, and the same request will not work until somebody changes it, or the rights.
    Final,
}

impl Moment {
    /// Before anything was seen of the store.
    #[must_use]
    pub fn new(boot: BootInstant) -> Self {
        Self { boot, store: None }
    }

    /// The same on both clocks, later.
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

/// The reason alone, with what caused it.
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
