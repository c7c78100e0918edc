//! Kubernetes Events on a lock's object, as `kubectl describe` and `kubectl get events` show them.

use coord_core::Errno;
use coord_kube::Rule;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::PostParams};
use serde_json::json;

use super::{
    ClusterStore, LONGEST, ObjectKind, Store, StoreError, StoreErrorKind, error::of_create, invalid,
};
use crate::{LockName, Timestamp};

/// An Event about a lock. It becomes a core/v1 Event in the form that client-go's recorder writes,
/// since kubectl sorts and counts those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Somebody should look at it: its type is `Warning` instead of `Normal`.
    pub is_warning: bool,
    /// A word in camel case, such as `LockAcquired`.
    pub reason: String,
    /// A sentence; everything beyond 1024 bytes is cut off.
    pub message: String,
    /// The component that reports it.
    pub reporter: String,
    /// When it happened.
    pub at: Timestamp,
    /// Distinguishes it from all other Events of this lock: the same Event is not recorded twice.
    pub nonce: u64,
}

/// The longest message that the API server accepts.
const LONGEST_MESSAGE: usize = 1024;

/// The longest reporter name that it accepts.
const LONGEST_REPORTER: usize = 128;

impl<K: ObjectKind> ClusterStore<K> {
    /// The permission that [`record`](Self::record) needs in addition to reading the object.
    pub const EVENT_RULE: Rule = Rule::new("create", "events");

    /// Records this on the lock's object. If the object does not exist, records it under the
    /// object's name.
    ///
    /// # Errors
    /// The errors of the two requests: `EACCES`, and the server's.
    pub async fn record(&self, lock: &LockName, event: &ObjectEvent) -> Result<(), StoreError> {
        let name = self.name_of(lock)?;
        let uid = match self.get(lock).await {
            Ok(object) => Some(object.uid),
            Err(error) if error.kind() == StoreErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let event = self.event(&name, uid.as_deref(), event)?;
        let api: Api<Event> = self.cluster.api();
        let parameters = PostParams::default();
        let request = || api.create(&parameters, &event);
        let action = self.cluster.action("create", "events");
        match self.cluster.call(action, request).await {
            Err(error) if error.errno() == Errno::EEXIST => Ok(()),
            done => done.map(drop).map_err(of_create),
        }
    }

    fn event(
        &self,
        name: &str,
        uid: Option<&str>,
        event: &ObjectEvent,
    ) -> Result<Event, StoreError> {
        let kind = K::resource();
        let nonce = format!(".{:016x}", event.nonce);
        let room = LONGEST - nonce.len();
        let at = event.at.to_the_second().to_string();
        let reporter = cut(&event.reporter, LONGEST_REPORTER);
        let event = json!({
            "metadata": {
                "name": cut(name, room).trim_end_matches(['.', '-']).to_owned() + &nonce,
                "namespace": self.cluster.namespace(),
            },
            "involvedObject": {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "namespace": self.cluster.namespace(),
                "name": name,
                "uid": uid,
            },
            "type": if event.is_warning { "Warning" } else { "Normal" },
            "reason": event.reason,
            "message": cut(&event.message, LONGEST_MESSAGE),
            "source": {"component": "lockheed"},
            "reportingComponent": "lockheed",
            "reportingInstance": reporter,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        });
        serde_json::from_value(event).map_err(|error| invalid(error.to_string()))
    }
}

/// At most this many bytes, without splitting a character.
fn cut(text: &str, length: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(|end| *end <= length).last().unwrap_or(0)]
}
