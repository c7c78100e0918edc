//! Wanting a lock: the builder.

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

/// A lock as somebody wants it.
///
/// ```
/// use std::time::Duration;
/// use lockheed::{Lock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::new(MemoryStore::new(), "deploy".parse()?).duration(Duration::from_secs(30)).renew_interval(Duration::from_secs(10));
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
    /// The lock of this name: a lease without an end, a random ID, nothing renewed by itself. A
    /// lease of this ID that is there keeps its length.
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

    /// The holder's ID. Whoever has the same ID is the same holder.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.contender.id = id.into();
        self
    }

    /// How long the lease is, in whole milliseconds and at least one; zero for one without an end.
    /// A lease of this ID that is there gets this length too.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.keeps_length = false;
        self.with_length(duration)
    }

    /// The same for a new lease alone: one of this ID that is there is extended by its own length.
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

    /// How often the lease is renewed by itself; zero for never.
    pub fn renew_interval(mut self, interval: Duration) -> Self {
        self.renew_interval = (!interval.is_zero()).then_some(interval);
        self
    }

    /// How long one request to the store may take; a sixth of the lease otherwise, or 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds these tags when the lock is acquired.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.contender.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Drops the tags that are not given here when the lock is acquired.
    pub fn reset_tags(mut self) -> Self {
        self.contender.reset_tags = true;
        self
    }

    /// Takes the lock away from whoever holds it, if the condition holds. Two may then believe to hold it, until the one it was
    /// taken from has heard of it.
    pub fn force(mut self, condition: Condition) -> Self {
        self.contender.force = Some(condition);
        self
    }

    /// Wants the lock beside other holders that want it so: many at once, and none beside an
    /// exclusive one. Readers do it so.
    pub fn shared(mut self) -> Self {
        self.contender.mode = Mode::Shared;
        self
    }

    /// Wants one of so many slots: so many hold the lock at once at most. As long as somebody holds
    /// or awaits one, another number is `EINVAL`.
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

    /// Waits in the lock's queue: first come, first served, whatever process and machine the
    /// others are in, as long as they do so too. Whoever releases the lock names the next holder
    /// with the same write.
    ///
    /// Whoever is named has five seconds to come; then it loses its place, and the next one has
    /// its turn.
    pub fn fair(mut self) -> Self {
        self.contender.fair = true;
        self
    }

    /// The same, before all who wait with a lower priority. Each time that somebody is put before a
    /// waiter, that one's priority rises by one, so that nobody waits for ever.
    pub fn priority(mut self, priority: u32) -> Self {
        self.contender.fair = true;
        self.contender.priority = priority;
        self
    }

    /// How far clocks may differ: a lease with a length that was over for longer, when it was first
    /// seen, is taken without waiting for its length, and one without a length is given so much
    /// more time. By default 60 s and 5 s for [`KubeStore`](crate::KubeStore) and
    /// [`LeaseStore`](crate::LeaseStore), where the clocks of API servers decide; nothing where
    /// there is only one clock. A lease whose holder writes what its own clock shows, as
    /// client-go's in Leases do, is always waited for.
    pub fn max_skew(mut self, skew: Duration) -> Self {
        self.contender.skew = Skew {
            without_length: skew,
            at_first_sight: Some(skew),
        };
        self
    }

    /// Waits for each lease with a length as long as that is, whatever clocks say.
    pub fn trust_no_clock(mut self) -> Self {
        self.contender.skew.at_first_sight = None;
        self
    }

    /// Lets [`try_acquire`](Self::try_acquire) try so many times more, with this pause before each.
    pub fn retry(mut self, retries: u32, delay: Duration) -> Self {
        self.retries = retries;
        self.delay = delay;
        self
    }

    /// Waits for a store that does not answer from the beginning, as for one that goes away during
    /// the wait, and not for 30 s alone: for whoever has had answers from it before.
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Calls this with everything that happens. It must return at once: the lock is not renewed meanwhile.
    pub fn on_event(mut self, handler: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Lets the lease be over as soon as nobody has this descriptor any more, in this process or another: for a
    /// [`DirStore`](crate::DirStore), whose holders then free their locks by dying.
    pub fn proof_of_life(mut self, proof: &ProofOfLife) -> Self {
        self.contender.alive = Some(proof.number());
        self
    }

    /// Acquires the lock if nobody holds it, without waiting for whoever does. A foreign reservation is deferred to for up to 2 s.
    ///
    /// # Errors
    /// `EBUSY` when it is held; those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(Wait::No, pending()).await
    }

    /// Acquires the lock, and waits until it can.
    ///
    /// # Errors
    /// `EINVAL` when what is kept under the name is not a lock; `EACCES`; that of the store when it
    /// has never answered within 30 s.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt; in the background it is seen to that nothing of it is left.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(Wait::Forever, pending()).await
    }

    /// Acquires the lock, and waits so long at most. Zero is as [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `ETIMEDOUT`; those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, limit: Duration) -> Result<Held, Error> {
        self.acquire_unless(Wait::at_most(limit), pending()).await
    }

    /// Acquires the lock, with this wait, until `cancel` ends.
    ///
    /// # Errors
    /// Those of [`try_acquire`](Self::try_acquire) and [`acquire_within`](Self::acquire_within), and `ECANCELED` as soon as nothing of the
    /// attempt is left, which takes a second at most.
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

    /// Renews the lease of this ID, which somebody acquired before and left.
    ///
    /// # Errors
    /// `ESTALE` when it is not there, or is over, with who holds the lock and who has ended the
    /// lease, where that is known; `ENOENT` when the lock does not exist; those of
    /// [`acquire`](Self::acquire).
    pub async fn renew(&self) -> Result<Held, Error> {
        self.attempt(Goal::Renew, Wait::No, pending()).await
    }

    /// Ends the lease of this ID, which somebody acquired before and left; if there is none, it is well too.
    ///
    /// # Errors
    /// That of the store; `EINVAL` when what is kept under the name is not a lock.
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

/// What was asked for wrongly, is not allowed or is not wanted any more, is so the next time too.
fn may_do_better(error: &Error) -> bool {
    let is_final = [Errno::ECANCELED, Errno::EINVAL, Errno::EACCES];
    !is_final.contains(&error.errno())
}
