//! Stands in for [`timer`](crate::timer) where the system has no timer on that clock.

use std::{io, time::Duration};

use crate::BootInstant;

/// The runtime's own timer stops during suspend, so the clock is checked this often.
const LOOK: Duration = Duration::from_secs(1);

/// A timer on the clock of the deadlines, late by at most a second.
#[derive(Debug)]
pub struct Timer(());

impl Timer {
    /// Call this in a runtime with timers.
    ///
    /// # Errors
    /// Never fails here.
    pub fn new() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Returns at this time, or never.
    pub async fn until(&mut self, at: Option<BootInstant>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        loop {
            let left = at.since(BootInstant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
