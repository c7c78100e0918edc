//! Handles API servers that have just started.
//!
//! kube-apiserver answers requests before it has read its authorization rules, and refuses
//! everything (403) until then. Its `/readyz` tells when that is over, but until then it may be
//! refused as well.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coord_core::boottime;
use kube::core::Status;

use crate::{Action, Cluster, Error};

/// How long a server may take to start. If `/readyz` does not tell, a refusal counts as final after
/// this.
const STARTS_WITHIN: Duration = Duration::from_secs(15);

/// The refusals of a server that does not say that it is ready. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Starting(Arc<Mutex<Refusals>>);

/// Times are on `CLOCK_BOOTTIME`.
#[derive(Debug, Default)]
struct Refusals {
    /// When each request was first refused, by verb and resource.
    since: HashMap<(&'static str, &'static str), Duration>,
    /// When any request was last allowed.
    allowed: Option<Duration>,
}

/// The answer of `/readyz`.
enum Readiness {
    Ready,
    NotReady,
    /// It could not be asked, or the answer is not the API server's; with the reason.
    Unknown(String),
}

impl Starting {
    /// Notes that the server has allowed this request.
    pub(super) fn allowed(&self, action: &Action, now: Duration) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.since.remove(&(action.verb, action.resource));
        refusals.allowed = Some(now);
    }

    /// Whether a server that refused this request may still be starting. The time for that is
    /// limited, and it is over if the server has allowed something else since.
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
    /// Handles a refused request. If the server is ready, sends the request again and returns that
    /// answer. A refusal changes nothing, so a write may also be repeated.
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
            // The API server itself answers 500. A refusal or a proxy's answer tells nothing about
            // the server.
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
        // A server that was restarted may refuse again.
        starting.allowed(&get, at(120));
        assert!(starting.may_last(&get, at(200)));
        // A server that has allowed something else since has started.
        assert!(starting.may_last(&watch, at(201)));
        starting.allowed(&get, at(202));
        assert!(!starting.may_last(&watch, at(203)));
    }
}
