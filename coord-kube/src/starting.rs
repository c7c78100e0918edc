//! API servers that have just started.
//!
//! kube-apiserver answers requests before it has read who may do what, and refuses everything (403) until then. Its `/readyz` says when that
//! is over; before, it is one more of the things that are refused.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coord_core::boottime;
use kube::core::Status;

use crate::{Action, Cluster, Error};

/// How long a server may be starting. Where `/readyz` does not tell, a refusal is believed after this.
const STARTS_WITHIN: Duration = Duration::from_secs(15);

/// What a server has refused that does not say that it is ready. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Starting(Arc<Mutex<Refusals>>);

/// Times are of `CLOCK_BOOTTIME`.
#[derive(Debug, Default)]
struct Refusals {
    /// When each was refused first, by verb and resource.
    since: HashMap<(&'static str, &'static str), Duration>,
    /// When anything was let through last.
    allowed: Option<Duration>,
}

/// What `/readyz` says.
enum Readiness {
    Ready,
    NotReady,
    /// It cannot be asked, or its answer is not the API server's; why.
    Unknown(String),
}

impl Starting {
    /// The server has let this request through.
    pub(super) fn allowed(&self, action: &Action, now: Duration) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.since.remove(&(action.verb, action.resource));
        refusals.allowed = Some(now);
    }

    /// Whether a server that has refused this may be starting still: not for ever, and not when it let something else through since.
    fn may_last(&self, action: &Action, now: Duration) -> bool {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = refusals.allowed;
        let since = *refusals
            .since
            .entry((action.verb, action.resource))
            .or_insert(now);
        now < since + STARTS_WITHIN && allowed.is_none_or(|at| at <= since)
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
        let unknown = match self.readiness().await {
            Readiness::Ready => {
                let answer = request().await;
                return answer.map_err(|error| Error::of(action.clone(), error));
            }
            Readiness::NotReady => None,
            Readiness::Unknown(why) => Some(why),
        };
        if self.starting.may_last(action, boottime()) {
            return Err(Error::starting(action.clone(), status, unknown));
        }
        Err(Error::of(action.clone(), kube::Error::Api(status)))
    }

    async fn readiness(&self) -> Readiness {
        let request = match http::Request::get("/readyz").body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return Readiness::Unknown(error.to_string()),
        };
        match self.client.request_text(request).await {
            Ok(_) => Readiness::Ready,
            // So does the API server itself. A refusal, and the answer of a proxy, say nothing of it.
            Err(kube::Error::Api(status)) if status.code == 500 => Readiness::NotReady,
            Err(kube::Error::Api(status)) => Readiness::Unknown(status.code.to_string()),
            Err(error) => Readiness::Unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Holds coord-kube-1.
    #[test]
    fn a_server_is_not_starting_for_ever() {
        let starting = Starting::default();
        let at = Duration::from_secs;
        let get = Action::new("get", "pods");
        let watch = Action::new("watch", "pods");
        assert!(starting.may_last(&get, at(100)) && starting.may_last(&get, at(114)));
        assert!(!starting.may_last(&get, at(115)));
        // One that is started again may refuse again.
        starting.allowed(&get, at(120));
        assert!(starting.may_last(&get, at(200)));
        // One that lets something else through meanwhile has started.
        assert!(starting.may_last(&watch, at(201)));
        starting.allowed(&get, at(202));
        assert!(!starting.may_last(&watch, at(203)));
    }
}
