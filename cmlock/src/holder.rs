//! Who holds a lock.

use k8s_openapi::api::core::v1::Pod;

use crate::record::{Owner, Run};

/// Who wants a lock, or holds it: two of one Pod differ in their IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    pub(crate) run: Option<Run>,
}

/// The owner Pod, as far as a lock is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// Nobody has looked yet.
    Unknown,
    /// It is not there any more, or another one has its name.
    Gone,
    /// All its containers have ended and are not started again: its phase.
    Finished(String),
    /// It is there.
    Alive(Vec<Run>),
}

impl OwnerState {
    pub(crate) fn of(owner: &Owner, pod: Option<&Pod>) -> Self {
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(&owner.uid)) else {
            return Self::Gone;
        };
        match phase(pod) {
            phase @ ("Failed" | "Succeeded") => Self::Finished(phase.to_owned()),
            _ => Self::Alive(runs(pod)),
        }
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// How often each container has been restarted. An init container can hold locks, too.
pub(crate) fn runs(pod: &Pod) -> Vec<Run> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let all = [&status.container_statuses, &status.init_container_statuses];
    let all = all.into_iter().flatten().flatten();
    all.map(|status| Run {
        container: status.name.clone(),
        restarts: status.restart_count,
    })
    .collect()
}
