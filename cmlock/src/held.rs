//! A lock that is held.

use std::fmt;

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch};

use crate::{Error, error::Kind, lock::PodLock};

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives; [`release`](Held::release) waits for that and says if it failed.
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

    /// The holder's ID: random, and noted in the object.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.lease.grant().id
    }

    /// What is known of the lock, for whoever must end with it.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        self.lease.lease()
    }

    /// Until when the lock is held if it is not extended; none without expiry, the boot when it is lost. Whatever the lock protects must have
    /// ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease().deadline()
    }

    /// Whether the lock is held no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease().lost_because().is_some()
    }

    /// Returns when the lock is held no more: at its expiry at the latest, whether the server answers or not.
    pub async fn lost(&self) -> LeaseLost {
        self.lease().lost().await
    }

    /// Returns the deadline as soon as it is another than this one, which is after each extension.
    ///
    /// # Errors
    /// When the lock is lost: why.
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        self.lease().deadline_after(known).await
    }

    /// Deletes the object, unless it is another holder's by now. To be called when all that the lock protects is over. One that is gone
    /// already is fine.
    ///
    /// # Errors
    /// `EBUSY` when the object is another holder's, whom the text names; that of the request when the server could not be reached within
    /// 30 s: the object stays until it expires, or its Pod is gone.
    pub async fn release(self) -> Result<(), Error> {
        let released = self.lease.release().await;
        released.map_err(|failure| Kind::from(failure).at(&self.name))
    }

    /// Leaves the object as it is, for somebody else who knows the ID to release it. It is not extended from here any more.
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
