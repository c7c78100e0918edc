//! Several locks at once: all or none.

use std::{
    fmt,
    future::{Future, pending},
    mem,
    pin::{Pin, pin},
    time::Duration,
};

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch};
use tokio::time::timeout;

use crate::{Error, ErrorKind, Held, Lock, LockName, Store, Wait, error::Kind};

/// How long a failed attempt waits until the locks it had acquired are released. After that they
/// are released in the background.
const SOON: Duration = Duration::from_secs(1);

/// Several locks, to be acquired together: all or none.
///
/// They are always acquired one after another in the order of their names, so two callers that want
/// the same locks never wait for each other. While the next lock is waited for, those already
/// acquired are held and renewed.
///
/// All locks should be in one store, and have a renew interval ([`Lock::renew_interval`]). If one
/// is lost while others are waited for, all are released and acquired again within the same wait.
///
/// ```
/// use std::time::Duration;
/// use lockheed::{Lock, LockSet, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let lock = |name: &str| {
///     let lock = Lock::new(store.clone(), name.parse()?).duration(Duration::from_secs(30));
///     Ok::<_, lockheed::InvalidName>(lock.renew_interval(Duration::from_secs(10)))
/// };
/// let locks = LockSet::new([lock("database")?, lock("cache")?])?;
/// let held = locks.acquire_within(Duration::from_secs(60)).await?;
/// tokio::select! {
///     (lock, why) = held.lost() => eprintln!("{} is no longer ours: {why}", lock.name()),
///     () = async { /* the work, with each lock's token for whatever it protects */ } => {}
/// }
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before it is acquired"]
pub struct LockSet<S> {
    /// Ordered by name, each with its position in the order in which they were given.
    locks: Vec<(usize, Lock<S>)>,
}

/// Locks that are held together, or were.
///
/// Dropping it releases them in the background, as long as the runtime lives.
/// [`release`](Self::release) waits for the release and reports whether it failed.
pub struct HeldSet {
    /// In the order in which they were given.
    held: Vec<Held>,
    lease: LeaseWatch,
}

impl<S: Store> LockSet<S> {
    /// A set of these locks, each with its own options. An empty set is acquired at once and cannot
    /// be lost.
    ///
    /// # Errors
    /// `EINVAL` when two of the locks have the same name.
    pub fn new(locks: impl IntoIterator<Item = Lock<S>>) -> Result<Self, Error> {
        let mut locks: Vec<_> = locks.into_iter().enumerate().collect();
        locks.sort_by(|(_, one), (_, other)| one.name().cmp(other.name()));
        let is_same = |pair: &&[(usize, Lock<S>)]| pair[0].1.name() == pair[1].1.name();
        if let Some(pair) = locks.windows(2).find(is_same) {
            let text = "it is in this set twice".to_owned();
            return Err(Kind::InvalidRequest(text).at(pair[0].1.name()));
        }
        Ok(Self { locks })
    }

    /// The lock of this name.
    #[must_use]
    pub fn get(&self, name: &LockName) -> Option<&Lock<S>> {
        let mut locks = self.locks.iter().map(|(_, lock)| lock);
        locks.find(|lock| lock.name() == name)
    }

    /// Acquires all of the locks if nobody holds any of them, without waiting for a holder.
    ///
    /// # Errors
    /// `EBUSY` when a lock is held; `ESTALE` when one is lost before the last is acquired;
    /// otherwise as for [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::No, pending()).await
    }

    /// Acquires all of the locks, and waits as long as it takes.
    ///
    /// # Errors
    /// As for [`Lock::acquire`]; the error names the lock. No lock is held then. The call waits up
    /// to a second until the locks it had acquired are released. If the store takes longer, the
    /// release goes on in the background.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. Whatever the attempt has written is cleaned up in the
    /// background.
    pub async fn acquire(&self) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::Forever, pending()).await
    }

    /// Acquires all of the locks, and waits at most this long for all of them together. Zero means
    /// the same as [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `ETIMEDOUT` when the time is over; otherwise as for [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, limit: Duration) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::at_most(limit), pending()).await
    }

    /// Acquires all of the locks until `cancel` completes; `wait` is for all of them together.
    ///
    /// # Errors
    /// As for [`try_acquire`](Self::try_acquire) and [`acquire_within`](Self::acquire_within), and
    /// `ECANCELED`.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_unless(
        &self,
        wait: Wait,
        cancel: impl Future<Output = ()>,
    ) -> Result<HeldSet, Error> {
        let mut attempt = Attempt {
            wait,
            since: BootInstant::now(),
            cancel: pin!(cancel),
            is_cancelled: false,
            has_answered: false,
            held: Vec::new(),
        };
        while let Some((_, lock)) = self.locks.get(attempt.held.len()) {
            if let Err(error) = attempt.acquire(lock).await {
                let _ = timeout(SOON, release(attempt.held)).await;
                return Err(error);
            }
        }
        let places = self.locks.iter().map(|(place, _)| place);
        let mut held: Vec<_> = places.zip(attempt.held).collect();
        held.sort_by_key(|(place, _)| *place);
        Ok(HeldSet::new(held.into_iter().map(|(_, held)| held)))
    }
}

/// The locks of a set that are held so far, and how long to wait for the others.
struct Attempt<'a, C> {
    wait: Wait,
    since: BootInstant,
    cancel: Pin<&'a mut C>,
    is_cancelled: bool,
    /// The store has answered once, so an outage is waited out.
    has_answered: bool,
    held: Vec<Held>,
}

impl<C: Future<Output = ()>> Attempt<'_, C> {
    /// Acquires the next lock. If one of the held locks is lost meanwhile, releases them all.
    async fn acquire<S: Store>(&mut self, lock: &Lock<S>) -> Result<(), Error> {
        let wait = match self.left() {
            Some((limit, Duration::ZERO)) if !self.held.is_empty() => {
                let why = "others were waited for all that time".to_owned();
                return Err(Kind::TimedOut(limit, why).at(lock.name()));
            }
            Some((_, left)) => Wait::For(left),
            None => self.wait,
        };
        let (cancel, is_cancelled) = (&mut self.cancel, &mut self.is_cancelled);
        let so_far = LeaseWatch::all(self.held.iter().map(Held::lease));
        let stop = async {
            tokio::select! {
                () = cancel => *is_cancelled = true,
                _ = so_far.lost() => {}
            }
        };
        let acquired = lock.acquire_unless(wait, stop).await;
        let error = match acquired {
            Ok(held) => {
                self.has_answered = true;
                self.held.push(held);
                None
            }
            Err(error) => Some(error),
        };
        if self.is_cancelled {
            return Err(Kind::Cancelled.at(lock.name()));
        }
        let lost = first_lost(&self.held).map(|(held, why)| (held.name().clone(), why));
        match (error, lost) {
            (_, Some((name, why))) if self.held.len() > 1 || name != *lock.name() => {
                self.start_over(&name, why).await
            }
            (Some(error), _) if self.waits_on(&error) => Ok(()),
            (Some(error), _) => Err(error.within(self.wait)),
            (None, _) => Ok(()),
        }
    }

    /// The limit of the wait, and how much of it is left; none without a limit.
    fn left(&self) -> Option<(Duration, Duration)> {
        let Wait::For(limit) = self.wait else {
            return None;
        };
        let waited = BootInstant::now().since(self.since);
        Some((limit, limit.saturating_sub(waited)))
    }

    /// Whether to wait for a store that has gone away.
    fn waits_on(&self, error: &Error) -> bool {
        let is_away = error.kind() == ErrorKind::Unanswered;
        is_away && self.has_answered && self.wait != Wait::No
    }

    /// Releases the remaining locks before anything is acquired again. This lets waiters go first.
    /// It also keeps two attempts with one ID apart, which would be the same holder.
    async fn start_over(&mut self, lost: &LockName, why: LeaseLost) -> Result<(), Error> {
        if self.wait == Wait::No {
            return Err(Kind::Lost(why).at(lost));
        }
        log::warn!("lock {lost} was lost before all were acquired: starting over");
        let (limit, left) = self.left().unwrap_or((Duration::MAX, Duration::MAX));
        let released = release(mem::take(&mut self.held));
        tokio::select! {
            released = timeout(left, released) => match released {
                Ok(_) => Ok(()),
                Err(_) => Err(Kind::TimedOut(limit, format!("it was lost: {why}")).at(lost)),
            },
            () = &mut self.cancel => Err(Kind::Cancelled.at(lost)),
        }
    }
}

impl HeldSet {
    fn new(held: impl IntoIterator<Item = Held>) -> Self {
        let held: Vec<_> = held.into_iter().collect();
        let lease = LeaseWatch::all(held.iter().map(Held::lease));
        Self { held, lease }
    }

    /// The locks, in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Held> {
        self.held.iter()
    }

    /// The state of all the leases, for code that must stop when the first of them is lost.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        &self.lease
    }

    /// The time until which all locks are held if none is renewed. None for leases without an end.
    /// Once a lock is lost, this is the time of boot. All work that the locks protect must end by
    /// then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease.deadline()
    }

    /// The first lock that is lost, and why; none while all are held.
    #[must_use]
    pub fn first_lost(&self) -> Option<(&Held, LeaseLost)> {
        first_lost(&self.held)
    }

    /// Returns when a lock is lost, with that lock and the reason: at the deadline at the latest.
    pub async fn lost(&self) -> (&Held, LeaseLost) {
        let why = self.lease.lost().await;
        let first = self.held.first().map(|held| (held, why));
        match self.first_lost().or(first) {
            Some(lost) => lost,
            None => pending().await,
        }
    }

    /// Ends these leases and no others; ignores those that no longer exist. Call it when all work
    /// that the locks protect has ended.
    ///
    /// # Errors
    /// As for [`Held::release`], for the first lock that could not be released. All are tried.
    pub async fn release(self) -> Result<(), Error> {
        release(self.held).await
    }
}

impl<'a> IntoIterator for &'a HeldSet {
    type Item = &'a Held;
    type IntoIter = std::slice::Iter<'a, Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Yields each lock, to be released or detached by itself.
impl IntoIterator for HeldSet {
    type Item = Held;
    type IntoIter = std::vec::IntoIter<Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter()
    }
}

impl fmt::Debug for HeldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.held).finish()
    }
}

fn first_lost(held: &[Held]) -> Option<(&Held, LeaseLost)> {
    let lost = |held| Some((held, Held::lease(held).lost_because()?));
    held.iter().find_map(lost)
}

/// Releases all at the same time, so a silent store delays each lock as little as possible.
async fn release(held: Vec<Held>) -> Result<(), Error> {
    let releasing: Vec<_> = held
        .into_iter()
        .map(|held| tokio::spawn(held.release()))
        .collect();
    let mut released = Ok(());
    for one in releasing {
        // A task that ended without a result was dropped with its runtime.
        released = released.and(one.await.unwrap_or(Ok(())));
    }
    released
}
