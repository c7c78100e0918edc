//! The programs that a cluster is made of.

use std::{
    env,
    path::{Path, PathBuf},
};

/// etcd, kube-apiserver and kubectl, each at its path.
#[derive(Clone, Debug)]
pub struct Binaries {
    etcd: PathBuf,
    apiserver: PathBuf,
    kubectl: PathBuf,
}

impl Binaries {
    /// The programs in the directory that `KUBEBUILDER_ASSETS` names, otherwise those on `PATH`;
    /// none if one of the three is missing.
    #[must_use]
    pub fn installed() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
        let in_assets = assets.as_deref().and_then(Self::in_directory);
        in_assets.or_else(|| Self::among(&on_path))
    }

    /// The three programs of one directory; none if one is missing.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Option<Self> {
        Self::among(&[directory.to_owned()])
    }

    fn among(directories: &[PathBuf]) -> Option<Self> {
        let find = |name: &str| {
            let mut candidates = directories.iter().map(|directory| directory.join(name));
            candidates.find(|candidate| candidate.is_file())
        };
        Some(Self {
            etcd: find("etcd")?,
            apiserver: find("kube-apiserver")?,
            kubectl: find("kubectl")?,
        })
    }

    /// The path of etcd.
    #[must_use]
    pub fn etcd(&self) -> &Path {
        &self.etcd
    }

    /// The path of kube-apiserver.
    #[must_use]
    pub fn apiserver(&self) -> &Path {
        &self.apiserver
    }

    /// The path of kubectl.
    #[must_use]
    pub fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// The directory that contains all three, if there is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        let directory = self.etcd.parent()?;
        let same = |path: &Path| path.parent() == Some(directory);
        (same(&self.apiserver) && same(&self.kubectl)).then_some(directory)
    }
}
