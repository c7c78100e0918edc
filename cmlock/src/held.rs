//! A lock that is held.

use std::fmt;

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch};

use crate::{Error, error::Kind, lock::PodLock};

/// A lock that is held, or was held.
///
/// Dropping it releases the lock in the background, as long as the runtime lives.
/// [`release`](Held::release) waits for that and reports a failure.
///
/// ```no_run
/// # async fn example(lock: cmlock::Lock) -> Result<(), cmlock::Error> {
/// let held = lock.acquire().await?;
/// tokio::select! {
///     why = held.lost() => eprintln!("no longer ours: {why}"),
///     () = async { /* the work */ } => {}
/// }
/// held.release().await
/// # }
/// ```
pub struct Held {
    name: String,
    lease: coord_lease::Held<PodLock>,
}

impl Held {
    pub(crate) fn new(name: &str, lease: coord_lease::Held<PodLock>) -> Self {
        let name = name.to_owned();
        Self { name, lease }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The holder's ID: random, and recorded in the object.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.lease.grant().id
    }

    /// The state of the lease, for code that must end with it.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        self.lease.lease()
    }

    /// When the hold ends if it is not extended: `None` without expiry, the boot if it is lost.
    /// Everything that the lock protects must have ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease().deadline()
    }

    /// Whether the lock is no longer held.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease().lost_because().is_some()
    }

    /// Returns when the lock is no longer held: at its expiry at the latest, whether the server
    /// answers or not.
    pub async fn lost(&self) -> LeaseLost {
        self.lease().lost().await
    }

    /// Returns the deadline as soon as it differs from `known`, which it does after each extension.
    ///
    /// # Errors
    /// The reason, if the lock is lost.
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        self.lease().deadline_after(known).await
    }

    /// Deletes the object, unless it belongs to another holder by now. Call it when everything that
    /// the lock protects has ended. Succeeds if the object is already gone.
    ///
    /// # Errors
    /// `EBUSY` when the object belongs to another holder, whom the text names. If the server could
    /// not be reached within 30 s, the error of the request; the object then stays until it
    /// expires, or until its Pod is gone.
    pub async fn release(self) -> Result<(), Error> {
        let released = self.lease.release().await;
        released.map_err(|failure| Kind::from(failure).at(&self.name))
    }

    /// Leaves the object unchanged, for somebody else who knows the ID to release it. This process
    /// no longer extends it.
    pub fn detach(self) {
        self.lease.detach();
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut held = f.debug_struct("Held");
        held.field("name", &self.name).field("id", &self.id());
        held.finish_non_exhaustive()
    }
}
