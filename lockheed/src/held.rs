//! A lock that is held.

use std::fmt;

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch, engine::Failure};

use crate::{Error, LockName, Token, error::Kind, protocol::Mutex};

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives.
/// [`release`](Held::release) waits for the release and reports whether it failed.
///
/// ```
/// use std::time::Duration;
/// use lockheed::{Lock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::new(MemoryStore::new(), "deploy".parse()?).duration(Duration::from_secs(30));
/// let held = lock.acquire().await?;
/// println!("the work sends {} with each write", held.token());
/// held.renew().await?; // for another 30 s; a lock with `renew_interval` does this itself
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
pub struct Held {
    name: LockName,
    id: String,
    lease: coord_lease::Held<Mutex>,
}

impl Held {
    pub(crate) fn new(name: LockName, id: String, lease: coord_lease::Held<Mutex>) -> Self {
        Self { name, id, lease }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// The holder's ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fencing token, which is higher than the token of every earlier holder.
    #[must_use]
    pub fn token(&self) -> Token {
        *self.lease.grant()
    }

    /// The state of the lease, for code that must stop when the lease ends.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        self.lease.lease()
    }

    /// The time until which the lock is held if it is not renewed. None for a lease without an end.
    /// Once the lock is lost, this is the time of boot. All work that the lock protects must end by
    /// then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease().deadline()
    }

    /// Whether the lock is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease().lost_because().is_some()
    }

    /// Returns when the lock is lost: at the deadline at the latest, even if the store does not
    /// answer.
    pub async fn lost(&self) -> LeaseLost {
        self.lease().lost().await
    }

    /// Returns the deadline as soon as it differs from `known`, which is after each renewal.
    ///
    /// # Errors
    /// The reason, when the lock is lost.
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        self.lease().deadline_after(known).await
    }

    /// Renews the lease now, for its full length.
    ///
    /// # Errors
    /// `ESTALE` when the lock is lost; until then, the renewal is retried. A lease without an end
    /// returns the first failure.
    pub async fn renew(&self) -> Result<(), Error> {
        let renewed = self.lease.renew().await;
        renewed.map_err(|failure| error(&self.name, failure))
    }

    /// Ends this lease and no other; does nothing if it no longer exists. Call it when all work
    /// that the lock protects has ended.
    ///
    /// # Errors
    /// When the store could not be reached for the length of the lease, or for 30 s: the lease may
    /// then exist until it expires.
    pub async fn release(self) -> Result<(), Error> {
        let released = self.lease.release().await;
        released.map_err(|failure| error(&self.name, failure))
    }

    /// Leaves the lease in place and stops renewing it. Anybody who knows the ID can renew and
    /// release it.
    pub fn detach(self) {
        self.lease.detach();
    }
}

fn error(name: &LockName, failure: Failure<Mutex>) -> Error {
    Kind::from(failure).at(name)
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut held = f.debug_struct("Held");
        held.field("name", &self.name).field("id", &self.id);
        held.field("token", &self.token()).finish_non_exhaustive()
    }
}
