//! The builder that describes and acquires a lock.

use std::{
    future::{Future, pending},
    num::NonZeroU32,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use coord_core::{BootInstant, Errno, HasErrno};
pub use coord_lease::engine::Wait;
use coord_lease::{
    Started,
    engine::{Engine, Failure, Goal, Moment, Settings},
    start,
};

use crate::{
    Condition, Error, Event, Held, LockName, Mode, Store,
    error::Kind,
    event::{Handler, Reporter},
    members::GROUP,
    once::ended,
    place::Place,
    protocol::{Contender, Mutex, Skew},
    random::{random_id, seed},
    store::{ProofOfLife, StoreError, StoreErrorKind},
};

/// A lock, with the options to acquire it with.
///
/// ```
/// use {lockheed::{Lock, MemoryStore}, std::time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::new(MemoryStore::new(), "deploy".parse()?);
/// let lock = lock.duration(Duration::from_secs(30)).renew_interval(Duration::from_secs(10));
/// let held = lock.acquire_within(Duration::from_secs(60)).await?;
/// tokio::select! {
///     why = held.lost() => eprintln!("no longer ours: {why}"),
///     () = async { /* the work, with held.token() for whatever it writes to */ } => {}
/// }
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before it is acquired"]
pub struct Lock<S> {
    store: Arc<S>,
    contender: Contender,
    length: Option<Duration>,
    keeps_length: bool,
    renew_interval: Option<Duration>,
    timeout: Option<Duration>,
    retries: u32,
    delay: Duration,
    is_patient: bool,
    handler: Option<Handler>,
}

impl<S: Store> Lock<S> {
    /// Describes the lock of this name: a lease without an end, a random holder ID, no automatic
    /// renewal. If a lease of this ID already exists, it keeps its length.
    pub fn new(store: S, name: LockName) -> Self {
        let contender = Contender {
            name,
            id: random_id(),
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            mode: Mode::Exclusive,
            fair: false,
            priority: 0,
            skew: Skew::of(&store),
            alive: None,
        };
        Self {
            store: Arc::new(store),
            contender,
            length: None,
            keeps_length: true,
            renew_interval: None,
            timeout: None,
            retries: 0,
            delay: Duration::ZERO,
            is_patient: false,
            handler: None,
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.contender.name
    }

    /// Sets the holder's ID. Everybody who uses this ID is the same holder.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.contender.id = id.into();
        self
    }

    /// Sets the length of the lease, in whole milliseconds and at least one. Zero means no end. A
    /// lease of this ID that already exists gets this length too.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.keeps_length = false;
        self.with_length(duration)
    }

    /// Like [`duration`](Self::duration), but for a new lease only: a lease of this ID that already
    /// exists is extended by its own length.
    pub fn duration_if_new(mut self, duration: Duration) -> Self {
        self.keeps_length = true;
        self.with_length(duration)
    }

    fn with_length(mut self, duration: Duration) -> Self {
        let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let length = (!duration.is_zero()).then(|| whole.max(Duration::from_millis(1)));
        self.length = length;
        self
    }

    /// Sets how often the lease is renewed in the background; zero means never.
    pub fn renew_interval(mut self, interval: Duration) -> Self {
        self.renew_interval = (!interval.is_zero()).then_some(interval);
        self
    }

    /// Sets how long one request to the store may take. The default is a sixth of the lease's
    /// length, or 10 s for a lease without an end.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds these tags when the lock is acquired.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.contender.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Removes all other tags when the lock is acquired.
    pub fn reset_tags(mut self) -> Self {
        self.contender.reset_tags = true;
        self
    }

    /// Takes the lock from its holder if the condition holds. Until the old holder notices, both
    /// holders may believe they have the lock.
    pub fn force(mut self, condition: Condition) -> Self {
        self.contender.force = Some(condition);
        self
    }

    /// Acquires the lock in shared mode, as readers do: many holders at once, but none beside an
    /// exclusive holder.
    pub fn shared(mut self) -> Self {
        self.contender.mode = Mode::Shared;
        self
    }

    /// Acquires one of `count` slots: at most `count` holders have the lock at once. Another number
    /// is `EINVAL` as long as anybody holds a slot or waits for one.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use lockheed::{Lock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// let two = NonZeroU32::new(2).unwrap();
    /// let lock = || Lock::new(store.clone(), "download".parse().unwrap()).slots(two);
    /// let (one, other) = (lock().try_acquire().await?, lock().try_acquire().await?);
    /// assert!(lock().try_acquire().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn slots(mut self, count: NonZeroU32) -> Self {
        self.contender.mode = Mode::Slots(count);
        self
    }

    /// Waits in the lock's queue: first come, first served, on whatever machine. A holder that
    /// releases the lock names the next holder with the same write.
    ///
    /// The named waiter has five seconds to take the lock, and a little more if several are named
    /// at once. After that it loses its place, and the next waiter has its turn.
    pub fn fair(mut self) -> Self {
        self.contender.fair = true;
        self
    }

    /// Like [`fair`](Self::fair), but ahead of all waiters with a lower priority. When a
    /// waiter is put before others, their priority rises by one, so nobody waits forever.
    pub fn priority(mut self, priority: u32) -> Self {
        self.contender.fair = true;
        self.contender.priority = priority;
        self
    }

    /// Sets how far clocks may differ. A lease with a length is taken at once if it had expired by
    /// more than this when it was first seen. A lease without a length counts for this much longer
    /// than it says.
    ///
    /// The defaults are 60 s and 5 s for [`KubeStore`](crate::KubeStore) and
    /// [`LeaseStore`](crate::LeaseStore), where the clocks of API servers decide, and zero where
    /// there is only one clock. Some holders write the time of their own clock, as client-go does
    /// in Leases: their leases are always waited for.
    pub fn max_skew(mut self, skew: Duration) -> Self {
        self.contender.skew = Skew {
            without_length: skew,
            at_first_sight: Some(skew),
        };
        self
    }

    /// Waits for the whole length of each lease that has one, whatever clocks say.
    pub fn trust_no_clock(mut self) -> Self {
        self.contender.skew.at_first_sight = None;
        self
    }

    /// Lets [`try_acquire`](Self::try_acquire) retry so often, after this delay each time.
    pub fn retry(mut self, retries: u32, delay: Duration) -> Self {
        self.retries = retries;
        self.delay = delay;
        self
    }

    /// Keeps waiting for a store that has not answered yet. By default, an attempt gives up after
    /// 30 s without a first answer. Use this if the store has answered this process before.
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Calls the handler with every event. It must return at once, since it delays renewals.
    pub fn on_event(mut self, handler: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Ends the lease as soon as no process has this descriptor open any more. This is for a
    /// [`DirStore`](crate::DirStore): its holders free their locks by dying.
    pub fn proof_of_life(mut self, proof: &ProofOfLife) -> Self {
        self.contender.alive = Some(proof.number());
        self
    }

    /// Acquires the lock if nobody holds it, without waiting for a holder. If somebody else has
    /// reserved the lock, the call waits for that up to 2 s.
    ///
    /// # Errors
    /// `EBUSY` when somebody holds the lock; otherwise as for [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(Wait::No, pending()).await
    }

    /// Acquires the lock, and waits as long as it takes.
    ///
    /// # Errors
    /// `EINVAL` when the object of this name is not a lock; `EACCES` when the store denies access;
    /// the store's own error when it has not answered once within 30 s.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. Whatever the attempt has written is cleaned up in the
    /// background.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(Wait::Forever, pending()).await
    }

    /// Waits for the lock at most this long. Zero means [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `ETIMEDOUT` when the time is over; otherwise as for [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, limit: Duration) -> Result<Held, Error> {
        self.acquire_unless(Wait::at_most(limit), pending()).await
    }

    /// Acquires the lock, waiting as `wait` says, until `cancel` completes.
    ///
    /// # Errors
    /// As for [`try_acquire`](Self::try_acquire) and [`acquire_within`](Self::acquire_within).
    /// `ECANCELED` once nothing of the attempt is left, which takes at most a second.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_unless(
        &self,
        wait: Wait,
        cancel: impl Future<Output = ()>,
    ) -> Result<Held, Error> {
        let mut cancel = pin!(ended(cancel));
        let mut retries = if wait == Wait::No { self.retries } else { 0 };
        loop {
            match self.attempt(Goal::Acquire, wait, cancel.as_mut()).await {
                Err(error) if retries > 0 && may_do_better(&error) => retries -= 1,
                done => return done,
            }
            tokio::select! {
                () = tokio::time::sleep(self.delay) => {}
                () = &mut cancel => return Err(Kind::Cancelled.at(&self.contender.name)),
            }
        }
    }

    /// Renews the lease of this ID, which was acquired earlier and left in place.
    ///
    /// # Errors
    /// `ESTALE` when there is no such lease, or it has expired; the message names the current
    /// holder and who ended the lease, where that is known. `ENOENT` when the lock does not exist.
    /// Otherwise as for [`acquire`](Self::acquire).
    pub async fn renew(&self) -> Result<Held, Error> {
        self.attempt(Goal::Renew, Wait::No, pending()).await
    }

    /// Ends the lease of this ID that was left in place. Succeeds if there is none.
    ///
    /// # Errors
    /// The store's error; `EINVAL` when the object of this name is not a lock.
    pub async fn release(&self) -> Result<(), Error> {
        let released = self.start(Goal::Release, Wait::No)?.released().await;
        released.map_err(|failure| self.error(failure))
    }

    async fn attempt(
        &self,
        goal: Goal,
        wait: Wait,
        cancel: impl Future<Output = ()>,
    ) -> Result<Held, Error> {
        let acquired = self.start(goal, wait)?.acquired(cancel).await;
        let held = acquired.map_err(|failure| self.error(failure))?;
        let Contender { name, id, .. } = &self.contender;
        Ok(Held::new(name.clone(), id.clone(), held))
    }

    fn error(&self, failure: Failure<Mutex>) -> Error {
        Kind::from(failure).at(&self.contender.name)
    }

    fn start(&self, goal: Goal, wait: Wait) -> Result<Started<Mutex>, Error> {
        let Contender { name, id, .. } = &self.contender;
        if id.is_empty() {
            return Err(Kind::InvalidRequest("a holder's ID cannot be empty".to_owned()).at(name));
        }
        if id == GROUP {
            let text = format!("{GROUP:?} cannot be a holder's ID: it stands for several");
            return Err(Kind::InvalidRequest(text).at(name));
        }
        let settings = Settings {
            goal,
            length: self.length,
            renew_interval: self.renew_interval,
            wait,
        };
        let sixth = self.length.map(|length| length / 6);
        let place = Place {
            store: Arc::clone(&self.store),
            name: name.clone(),
            id: id.to_owned(),
            timeout: self.timeout.or(sixth).unwrap_or(Duration::from_secs(10)),
            waits_in_line: self.contender.mode == Mode::Exclusive && !self.contender.fair,
        };
        let mut mutex = Mutex::new(self.contender.clone());
        if goal == Goal::Renew {
            mutex = mutex.renewing();
        }
        if self.keeps_length {
            mutex = mutex.keeping_the_length();
        }
        let mut engine = Engine::new(mutex, settings, Moment::new(BootInstant::now()), seed());
        if self.is_patient {
            engine = engine.patient();
        }
        let mut reporter = Reporter::new(self.handler.clone(), self.renew_interval);
        let started = start(engine, place, move |event| reporter.tell(event));
        started.map_err(|error| {
            let (kind, errno) = (StoreErrorKind::Unavailable, error.errno());
            let error = StoreError::new(kind, errno, "cannot make a timer").caused_by(error);
            Kind::Store(error).at(name)
        })
    }
}

/// A request that was cancelled, invalid or denied fails the same way next time.
fn may_do_better(error: &Error) -> bool {
    let is_final = [Errno::ECANCELED, Errno::EINVAL, Errno::EACCES];
    !is_final.contains(&error.errno())
}
