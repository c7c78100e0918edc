//! Who holds a lock.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time as PodTime,
};

use crate::record::{ContainerRun, Owner};

/// Somebody who wants a lock, or holds it. Two holders in one Pod have different IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    pub(crate) run: Option<ContainerRun>,
}

impl Holder {
    /// A holder in this Pod, without a recorded container.
    #[must_use]
    pub fn new(id: &str, owner: Owner) -> Self {
        Self {
            id: id.to_owned(),
            owner,
            run: None,
        }
    }
}

/// The state of the owner Pod, as far as locks need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Not read yet.
    Unknown,
    /// It no longer exists, or another Pod has its name.
    Gone,
    /// All its containers have ended and will not be restarted; with its phase.
    Finished(String),
    /// It exists, with these containers.
    Alive(Vec<Container>),
}

/// A container of the owner Pod, as the kubelet last reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub(crate) run: ContainerRun,
    /// When it last started or ended, in Unix seconds by the node's clock. No process from before
    /// that time still runs in it.
    turned: Option<i64>,
}

impl Container {
    /// Whether the processes that ran in it at this time, by the node's clock, have ended. The
    /// times have whole seconds, so within the same second this is unknown.
    pub(crate) fn has_turned_since(&self, time: u64) -> bool {
        self.turned
            .is_some_and(|turned| u64::try_from(turned).is_ok_and(|turned| turned > time))
    }
}

impl OwnerState {
    /// The state of the owner, from the Pod of its name, if there is one.
    #[must_use]
    pub fn of(owner: &Owner, pod: Option<&Pod>) -> Self {
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(&owner.uid)) else {
            return Self::Gone;
        };
        match phase(pod) {
            phase @ ("Failed" | "Succeeded") => Self::Finished(phase.to_owned()),
            _ => Self::Alive(containers(pod)),
        }
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The run of a container that this process is in. A status saying "not running" predates this
/// process and belongs to the previous run, or to none: count one restart more. A status still
/// showing the previous run cannot be recognised; the count is then too low.
#[cfg(feature = "client")]
pub(crate) fn own_run(pod: &Pod, container: &str) -> Option<ContainerRun> {
    let status = statuses(pod).find(|status| status.name == container)?;
    let state = status.state.as_ref();
    let ended = |state: &ContainerState| state.terminated.is_some();
    let before = status.last_state.as_ref().is_some_and(ended) || status.restart_count > 0;
    let behind = state.is_some_and(|state| ended(state) || (state.waiting.is_some() && before));
    Some(ContainerRun {
        container: container.to_owned(),
        restarts: status.restart_count + i32::from(behind),
    })
}

/// Includes init containers, which can hold locks, too.
fn containers(pod: &Pod) -> Vec<Container> {
    let container = |status: &ContainerStatus| Container {
        run: ContainerRun {
            container: status.name.clone(),
            restarts: status.restart_count,
        },
        turned: turned(status),
    };
    statuses(pod).map(container).collect()
}

fn turned(status: &ContainerStatus) -> Option<i64> {
    let turned = |state: &ContainerState| {
        let began = state
            .running
            .as_ref()
            .and_then(|now| now.started_at.clone());
        let ended = state
            .terminated
            .as_ref()
            .and_then(|end| end.finished_at.clone());
        began.or(ended).map(|PodTime(at)| at.as_second())
    };
    let states = [&status.state, &status.last_state];
    states.into_iter().flatten().filter_map(turned).max()
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        let all = [&status.container_statuses, &status.init_container_statuses];
        all.into_iter().flatten().flatten()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_status_that_is_behind_counts_one_restart_more() {
        let noted = |count: i32, state: Value, last: Value| {
            let status = json!({"name": "main", "restartCount": count, "state": state, "lastState": last, "image": "", "imageID": "", "ready": false});
            let pod = json!({"metadata": {}, "status": {"containerStatuses": [status]}});
            own_run(&serde_json::from_value(pod).unwrap(), "main")
                .unwrap()
                .restarts
        };
        let (running, waiting) = (
            json!({"running": {}}),
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        );
        let ended = json!({"terminated": {"exitCode": 1}});
        assert_eq!(noted(0, json!({}), json!({})), 0);
        assert_eq!(noted(0, waiting.clone(), json!({})), 0);
        assert_eq!(noted(0, running.clone(), json!({})), 0);
        assert_eq!(noted(3, running, ended.clone()), 3);
        assert_eq!(noted(0, ended.clone(), json!({})), 1);
        assert_eq!(noted(0, waiting.clone(), ended.clone()), 1);
        assert_eq!(noted(3, waiting, json!({})), 4);
    }

    #[test]
    fn a_container_turns_when_it_begins_and_when_it_ends() {
        let turned = |state: Value, last: Value| {
            let status = json!({"name": "main", "restartCount": 1, "state": state, "lastState": last, "image": "", "imageID": "", "ready": false});
            turned(&serde_json::from_value(status).unwrap())
        };
        let running =
            |at: u8| json!({"running": {"startedAt": format!("1970-01-01T00:00:{at:02}Z")}});
        let ended = |at: u8| json!({"terminated": {"exitCode": 0, "startedAt": "1970-01-01T00:00:01Z", "finishedAt": format!("1970-01-01T00:00:{at:02}Z")}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(turned(running(9), ended(8)), Some(9));
        assert_eq!(turned(waiting.clone(), ended(8)), Some(8));
        assert_eq!(turned(ended(10), ended(8)), Some(10));
        assert_eq!(turned(waiting, json!({})), None);
        assert_eq!(turned(json!({"running": {}}), json!({})), None);
    }
}
