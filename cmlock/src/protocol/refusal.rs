//! Why the lock is refused, in words.

use std::fmt;

use crate::{PodName, record::Malformed};

/// Why the lock is refused.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// This cannot be the name of a Pod.
    PodName(PodName),
    /// There is no such Pod.
    NoPod(PodName),
    /// The Pod has ended, with this phase.
    Finished(PodName, String),
    /// The Pod has no container of this name.
    NoContainer(PodName, String),
    /// The object is not a lock.
    Malformed(Malformed),
    /// The server's answers have no `Date`.
    NoClock,
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SET: &str = "set POD_NAME and POD_NAMESPACE to the Pod's metadata.name and metadata.namespace, or give --pod and --namespace";
        match self {
            Self::PodName(pod) => write!(f, "{:?} cannot be the name of a Pod: {SET}", pod.name),
            Self::NoPod(pod) => write!(
                f,
                "there is no Pod {:?} in namespace {:?} to own it: {SET}",
                pod.name, pod.namespace
            ),
            Self::Finished(pod, phase) => {
                write!(f, "Pod {pod} has ended ({phase}) and cannot own it: {SET}")
            }
            Self::NoContainer(pod, name) => write!(
                f,
                "Pod {pod} has no container {name:?}: set CONTAINER_NAME or --container to the name of the one that this process is in"
            ),
            Self::Malformed(malformed) => write!(
                f,
                "its ConfigMap exists but is not a cmlock lock ({malformed}); leaving it unchanged"
            ),
            Self::NoClock => f.write_str("the API server's answers have no Date"),
        }
    }
}
