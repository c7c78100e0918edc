//! A lock that is held.

use std::fmt;

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch, engine::Failure};

use crate::{Error, LockName, Token, error::Kind, protocol::Mutex};

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives; [`release`](Held::release) waits for that and says if it failed.
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

    /// The ID that holds it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fencing token: higher than that of every holder before.
    #[must_use]
    pub fn token(&self) -> Token {
        *self.lease.grant()
    }

    /// What is known of the lock, for whoever must end with it.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        self.lease.lease()
    }

    /// Until when the lock is held if it is not renewed; none for a lease without an end, the boot when it is lost.
    /// Whatever the lock protects must have ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease().deadline()
    }

    /// Whether the lock is held no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease().lost_because().is_some()
    }

    /// Returns when the lock is held no more, at the deadline at the latest, whether the store answers or not.
    pub async fn lost(&self) -> LeaseLost {
        self.lease().lost().await
    }

    /// Returns the deadline as soon as it is another than this one, which is after each renewal.
    ///
    /// # Errors
    /// When the lock is lost: why.
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        self.lease().deadline_after(known).await
    }

    /// Renews the lease now, for its whole length.
    ///
    /// # Errors
    /// `ESTALE` when the lock is lost; until then it is tried again. For a lease without an end, the first failure.
    pub async fn renew(&self) -> Result<(), Error> {
        let renewed = self.lease.renew().await;
        renewed.map_err(|failure| error(&self.name, failure))
    }

    /// Ends the lease: only this one, and nothing if it is not there any more. To be called when all that the lock protects is over.
    ///
    /// # Errors
    /// When the store could not be reached for the length of the lease, or 30 s: the lease may be there until its end.
    pub async fn release(self) -> Result<(), Error> {
        let released = self.lease.release().await;
        released.map_err(|failure| error(&self.name, failure))
    }

    /// Leaves the lease as it is, for somebody else who knows the ID to renew and release it. It is not renewed from here any more.
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
