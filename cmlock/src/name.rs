//! Names of locks, and of the Pods that own them.

use std::{env, fmt, fs};

use coord_core::{Errno, HasErrno};

/// The file with a Pod's namespace, in the service account's volume.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The Pod that owns the locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodName {
    /// The namespace of the Pod and of its locks.
    pub namespace: String,
    /// The Pod's name.
    pub name: String,
}

/// Why the Pod is unknown, and what to set. Its errno is `ENOENT`.
#[derive(Debug)]
pub struct NoPod(String);

impl PodName {
    /// The Pod in which this process runs. Its name is `POD_NAME`, otherwise the host's name. Its
    /// namespace is `POD_NAMESPACE`, otherwise the service account's.
    ///
    /// # Errors
    /// `ENOENT` when one of them is missing; the text says what to set.
    pub fn of_this_pod() -> Result<Self, NoPod> {
        let namespace = Self::namespace_of_this_pod()
            .ok_or_else(|| NoPod(format!("no namespace: set POD_NAMESPACE to the Pod's metadata.namespace (there is no {NAMESPACE})")))?;
        let name = Self::name_of_this_pod()
            .ok_or_else(|| NoPod("no Pod: set POD_NAME to the Pod's metadata.name".to_owned()))?;
        Ok(Self { namespace, name })
    }

    /// `POD_NAME`, otherwise the host's name.
    #[must_use]
    pub fn name_of_this_pod() -> Option<String> {
        let host = || {
            Some(
                fs::read_to_string("/proc/sys/kernel/hostname")
                    .ok()?
                    .trim()
                    .to_owned(),
            )
        };
        variable("POD_NAME")
            .or_else(host)
            .filter(|name| !name.is_empty())
    }

    /// `POD_NAMESPACE`, otherwise the service account's namespace.
    #[must_use]
    pub fn namespace_of_this_pod() -> Option<String> {
        let mounted = || Some(fs::read_to_string(NAMESPACE).ok()?.trim().to_owned());
        variable("POD_NAMESPACE")
            .or_else(mounted)
            .filter(|namespace| !namespace.is_empty())
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for NoPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoPod {}

impl HasErrno for NoPod {
    fn errno(&self) -> Errno {
        Errno::ENOENT
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
