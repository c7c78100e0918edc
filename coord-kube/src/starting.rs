//! API servers that have just started.
//!
//! kube-apiserver answers requests before it has read who may do what, and refuses everything (403) until then. Its `/readyz` says when that
//! is over; before, it is one more of the things that are refused.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::core::Status;

use crate::{Action, Cluster, Error};
use coord_core::boottime;

/// How long a server may be starting. Where `/readyz` itself is not allowed, a refusal is believed after this.
const STARTS_WITHIN: Duration = Duration::from_secs(15);

/// Since when a server refuses and does not say that it is ready, as a `CLOCK_BOOTTIME`. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Starting(Arc<Mutex<Option<Duration>>>);

impl Starting {
    /// The server has let a request through.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether a server that is not ready may be starting still.
    fn may_last(&self, now: Duration) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now < *since.get_or_insert(now) + STARTS_WITHIN
    }
}

impl Cluster {
    /// The answer to a request that was refused: the same one when the server is ready, and was asked again after it said so. A
    /// refusal changes nothing, so that a write may be repeated, too.
    pub(super) async fn refused<T, F>(
        &self,
        action: &Action,
        status: Box<Status>,
        request: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = kube::Result<T>>,
    {
        if self.is_ready().await {
            self.starting.end();
            let answer = request().await;
            return answer.map_err(|error| Error::of(action.clone(), error));
        }
        if self.starting.may_last(boottime()) {
            return Err(Error::starting(action.clone(), status));
        }
        Err(Error::of(action.clone(), kube::Error::Api(status)))
    }

    async fn is_ready(&self) -> bool {
        let request = http::Request::get("/readyz").body(Vec::new());
        match request {
            Ok(request) => self.client.request_text(request).await.is_ok(),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_starting_for_ever() {
        let starting = Starting::default();
        let at = Duration::from_secs;
        assert!(starting.may_last(at(100)) && starting.may_last(at(114)));
        assert!(!starting.may_last(at(115)));
        starting.end();
        assert!(starting.may_last(at(200)));
    }
}
