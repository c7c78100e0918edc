//! Wanting a lock: the builder.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coord_core::{HasErrno, boottime};
use tokio::sync::oneshot;

use crate::{
    Condition, Error, Event, Held, LockName, Store,
    driver::{Driver, Order},
    error::Kind,
    held::{self, Handler, Strings},
    machine::{Goal, Machine, Settings, Wait},
    store::{ProofOfLife, StoreErrorKind},
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
    settings: Settings,
    timeout: Option<Duration>,
    retries: u32,
    delay: Duration,
    handler: Option<Handler>,
    cancel: Mutex<Option<Cancel>>,
}

type Cancel = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<S: Store> Lock<S> {
    /// The lock of this name: a lease without an end, a random ID, nothing renewed by itself.
    pub fn new(store: S, name: LockName) -> Self {
        let settings = Settings {
            name,
            id: random_id(),
            goal: Goal::Acquire,
            length: None,
            renew_interval: None,
            tags: Vec::new(),
            reset_tags: false,
            force: None,
            wait: Wait::Forever,
            skew: store.clock_skew(),
            alive: None,
            #[cfg(feature = "sim")]
            flaw: None,
        };
        Self {
            store: Arc::new(store),
            settings,
            timeout: None,
            retries: 0,
            delay: Duration::ZERO,
            handler: None,
            cancel: Mutex::default(),
        }
    }

    /// The holder's ID. Whoever has the same ID is the same holder.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.settings.id = id.into();
        self
    }

    /// How long the lease is, in whole milliseconds and at least one; zero for one without an end.
    pub fn duration(mut self, duration: Duration) -> Self {
        let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let length = (!duration.is_zero()).then(|| whole.max(Duration::from_millis(1)));
        self.settings.length = length;
        self
    }

    /// How often the lease is renewed by itself; zero for never.
    pub fn renew_interval(mut self, interval: Duration) -> Self {
        self.settings.renew_interval = (!interval.is_zero()).then_some(interval);
        self
    }

    /// How long one request to the store may take; a sixth of the lease otherwise, or 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds these tags when the lock is acquired.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Drops the tags that are not given here when the lock is acquired.
    pub fn reset_tags(mut self) -> Self {
        self.settings.reset_tags = true;
        self
    }

    /// Takes the lock away from whoever holds it, if the condition holds. Two may then believe to hold it, until the one it was
    /// taken from has heard of it.
    pub fn force(mut self, condition: Condition) -> Self {
        self.settings.force = Some(condition);
        self
    }

    /// How far clocks may differ, in judging leases that can only be taken at their word; the store's own bound otherwise.
    pub fn max_skew(mut self, skew: Duration) -> Self {
        self.settings.skew = skew;
        self
    }

    /// Gives up waiting when this future ends: the acquisition fails with `ECANCELED`. It counts for one acquisition.
    pub fn cancel_on(mut self, cancel: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cancel = Mutex::new(Some(Box::pin(cancel)));
        self
    }

    /// Lets [`try_acquire`](Self::try_acquire) try so many times more, with this pause before each.
    pub fn retry(mut self, retries: u32, delay: Duration) -> Self {
        self.retries = retries;
        self.delay = delay;
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
        self.settings.alive = Some(proof.number());
        self
    }

    /// Acquires the lock if nobody holds it, without waiting for whoever does. A foreign reservation is deferred to for up to 2 s.
    ///
    /// # Errors
    /// `EBUSY` when it is held; those of [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Held, Error> {
        let mut tries = self.retries;
        loop {
            match self.attempt(Goal::Acquire, Wait::No).await {
                Err(error) if tries > 0 && error.errno() != coord_core::Errno::ECANCELED => {
                    tries -= 1;
                }
                done => return done,
            }
            tokio::time::sleep(self.delay).await;
        }
    }

    /// Acquires the lock, and waits until it can.
    ///
    /// # Errors
    /// `ECANCELED` by [`cancel_on`](Self::cancel_on); `EINVAL` when what is kept under the name is no lock; `EACCES`; that of the store when it
    /// has never answered within 30 s.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.attempt(Goal::Acquire, Wait::Forever).await
    }

    /// Acquires the lock, and waits so long at most. Zero is as [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `ETIMEDOUT`; those of [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, limit: Duration) -> Result<Held, Error> {
        match limit {
            Duration::ZERO => self.try_acquire().await,
            limit => self.attempt(Goal::Acquire, Wait::For(limit)).await,
        }
    }

    /// Renews the lease of this ID, which somebody acquired before and left.
    ///
    /// # Errors
    /// `ESTALE` when it is not there, or is over; those of [`acquire`](Self::acquire).
    pub async fn renew(&self) -> Result<Held, Error> {
        self.attempt(Goal::Renew, Wait::No).await
    }

    /// Ends the lease of this ID, which somebody acquired before and left; if there is none, it is well too.
    ///
    /// # Errors
    /// That of the store; `EINVAL` when what is kept under the name is no lock.
    pub async fn release(&self) -> Result<(), Error> {
        let settings = Settings {
            goal: Goal::Release,
            ..self.settings.clone()
        };
        let strings = self.start(settings)?;
        self.outcome(strings.begun.await).map(|_| ())
    }

    async fn attempt(&self, goal: Goal, wait: Wait) -> Result<Held, Error> {
        let settings = Settings {
            goal,
            wait,
            ..self.settings.clone()
        };
        let mut strings = self.start(settings)?;
        let mut cancel = self.cancel().take();
        let begun = tokio::select! {
            begun = &mut strings.begun => begun,
            () = cancelled(&mut cancel) => {
                let _ = strings.orders.send(Order::Cancel);
                (&mut strings.begun).await
            }
        };
        *self.cancel() = cancel;
        let token = self
            .outcome(begun)?
            .ok_or_else(|| Kind::Cancelled.of(&self.settings.name))?;
        let (name, id) = (self.settings.name.clone(), self.settings.id.clone());
        Ok(Held::new(name, id, token, strings))
    }

    fn cancel(&self) -> MutexGuard<'_, Option<Cancel>> {
        self.cancel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the driver has said; one that is gone without a word went with its runtime.
    fn outcome<T>(
        &self,
        begun: Result<Result<T, Error>, oneshot::error::RecvError>,
    ) -> Result<T, Error> {
        begun.unwrap_or_else(|_| Err(Kind::Cancelled.of(&self.settings.name)))
    }

    fn start(&self, settings: Settings) -> Result<Strings, Error> {
        let name = settings.name.clone();
        if settings.id.is_empty() {
            return Err(Kind::Asked("a holder's ID cannot be empty".to_owned()).of(&name));
        }
        let timeout = self.timeout.unwrap_or_else(|| {
            settings
                .length
                .map_or(Duration::from_secs(10), |length| length / 6)
        });
        let (strings, mut reporter, orders) = held::strings(
            name.clone(),
            self.handler.clone(),
            settings.renew_interval.is_some(),
        );
        let machine = Machine::new(settings, boottime(), seed());
        let driver = Driver::new(self.store.clone(), name.clone(), machine, orders, timeout);
        let driver = driver.map_err(|error| {
            let errno = error.errno();
            let error = crate::store::StoreError::new(
                StoreErrorKind::Unavailable,
                errno,
                "cannot make a timer",
            )
            .caused_by(error);
            Kind::Store(error).of(&name)
        })?;
        tokio::spawn(driver.run(move |news| reporter.tell(news)));
        Ok(strings)
    }
}

async fn cancelled(cancel: &mut Option<Cancel>) {
    match cancel {
        Some(future) => future.await,
        None => return std::future::pending().await,
    }
    *cancel = None;
}

/// Sixteen random hexadecimal digits.
fn random_id() -> String {
    format!("{:016x}", seed())
}

/// From the kernel; where that has none to give, from the clock, which is enough to spread waiters out.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::try_from(boottime().as_nanos()).unwrap_or(0))
}
