//! Which store a command works on.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
#[cfg(feature = "kube")]
use coord_core::errno::with_sources;
use coord_core::{
    Errno, Status,
    cli::{Failure, help::heading},
    text::shell_quoted,
};
use lockheed::store::DirStore;

use super::store::AnyStore;

/// Where the locks are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = heading::STORE)]
pub(crate) struct StoreArg {
    /// Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers
    /// elect their leaders), or dir:PATH (in a directory of this machine)
    #[arg(
        long,
        global = true,
        env = "LOCKHEED_STORE",
        hide_env_values = true,
        value_name = "STORE",
        default_value = "kube",
        display_order = 80
    )]
    store: Place,
    /// Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its
    /// group [default: by the umask]
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        value_parser = mode,
        display_order = 81
    )]
    mode: Option<u32>,
    /// Prefix of the ConfigMaps' names, PREFIX-NAME [default: lockheed]
    #[cfg(feature = "kube")]
    #[arg(long, global = true, value_name = "PREFIX", display_order = 82)]
    prefix: Option<String>,
    /// What the objects are to have.
    #[cfg(feature = "kube")]
    #[arg(skip)]
    labels: Vec<(String, String)>,
    #[cfg(feature = "kube")]
    #[command(flatten)]
    client: coord_kube::ClientArgs,
}

/// The value of `--store`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Kube,
    Lease,
    Dir(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "kube" => Ok(Self::Kube),
            None if text == "lease" => Ok(Self::Lease),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Dir(path.into())),
            _ => Err("write kube, lease or dir:PATH, such as dir:/run/lock/example".to_owned()),
        }
    }
}

/// As it is written on the command line, as far as it is text.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kube => f.write_str("kube"),
            Self::Lease => f.write_str("lease"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

/// How a person may log in, where a credential plugin asks for one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// Before anything else.
    First,
    /// Within the time that the command waits.
    Waiting,
    /// The same, and standard input is the command's that runs under the lock.
    WithoutInput,
}

impl StoreArg {
    pub(crate) fn place(&self) -> &Place {
        &self.store
    }

    /// # Errors
    /// 64 for an option that is not for this kind of store.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let is_directory = matches!(self.store, Place::Dir(_));
        #[cfg(feature = "kube")]
        if is_directory {
            if let Some(option) = self.client.first_given() {
                return Err(self.is_for(option, "kube and lease"));
            }
            if self.prefix.is_some() {
                return Err(self.is_for("--prefix", "kube"));
            }
        }
        if self.mode.is_some() && !is_directory {
            return Err(self.is_for("--mode", "dir:PATH"));
        }
        Ok(())
    }

    /// The variable may have chosen the store.
    fn is_for(&self, option: &str, stores: &str) -> Failure {
        let store = &self.store;
        Failure::usage(format!(
            "{option} is for --store {stores}, but the store is {store}"
        ))
    }

    /// The same, with these labels for what is written.
    #[cfg_attr(
        not(feature = "kube"),
        allow(unused_mut, reason = "there is no such store")
    )]
    pub(crate) fn with_labels(mut self, labels: &[(String, String)]) -> Result<Self, Failure> {
        if let (Place::Dir(_), Some((key, _))) = (&self.store, labels.first()) {
            let text = format!(
                "--label {key} is for --store kube and lease: a directory's locks have no labels"
            );
            return Err(Failure::usage(text));
        }
        #[cfg(feature = "kube")]
        labels.clone_into(&mut self.labels);
        Ok(self)
    }

    /// The options, as they are typed into a shell, that name this store again: from any directory,
    /// and whatever the environment says.
    pub(crate) fn as_typed(&self) -> Vec<String> {
        let option = |name, value: &OsStr| format!("--{name}={}", shell_quoted(value));
        let store = match &self.store {
            Place::Dir(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let mut place = OsString::from("dir:");
                place.push(path);
                return vec![option("store", &place)];
            }
            Place::Kube => {
                let variable = std::env::var_os("LOCKHEED_STORE");
                let is_default = variable.is_none_or(|store| store.is_empty());
                (!is_default).then(|| option("store", "kube".as_ref()))
            }
            Place::Lease => Some(option("store", "lease".as_ref())),
        };
        #[cfg(feature = "kube")]
        let store = {
            let prefix = self.prefix.as_ref();
            let prefix = prefix.map(|prefix| option("prefix", prefix.as_ref()));
            store
                .into_iter()
                .chain(prefix)
                .chain(self.client.as_typed())
        };
        store.into_iter().collect()
    }

    /// Opens the store. A directory must be there.
    pub(crate) async fn open(&self) -> Result<AnyStore, Failure> {
        match &self.store {
            Place::Dir(path) => Ok(AnyStore::Dir(open_dir(path)?)),
            Place::Kube | Place::Lease => self.in_cluster(Login::First).await,
        }
    }

    /// The same for who wants a lock; a directory is made if it is not there.
    pub(crate) async fn open_or_create(&self, login: Login) -> Result<AnyStore, Failure> {
        let path = match &self.store {
            Place::Dir(path) => path,
            Place::Kube | Place::Lease => return self.in_cluster(login).await,
        };
        let store = match self.mode {
            Some(mode) => DirStore::create_with_mode(path, mode),
            None => DirStore::create(path),
        };
        Ok(AnyStore::Dir(store?))
    }

    #[cfg(feature = "kube")]
    async fn in_cluster(&self, login: Login) -> Result<AnyStore, Failure> {
        let store = match self.store {
            Place::Lease => AnyStore::Lease(Box::new(self.leases(login).await?)),
            _ => AnyStore::Kube(Box::new(self.kube(login).await?)),
        };
        Ok(store)
    }

    #[cfg(feature = "kube")]
    pub(crate) async fn kube(&self, login: Login) -> Result<lockheed::KubeStore, Failure> {
        let mut store = lockheed::KubeStore::of(self.cluster(login).await?);
        if let Some(prefix) = &self.prefix {
            store = store.with_prefix(prefix)?;
        }
        Ok(store.with_labels(self.labels.clone())?)
    }

    #[cfg(feature = "kube")]
    pub(crate) async fn leases(&self, login: Login) -> Result<lockheed::LeaseStore, Failure> {
        if self.prefix.is_some() {
            let text = "--prefix is for --store kube: a Lease has the lock's own name";
            return Err(Failure::usage(text));
        }
        let store = lockheed::LeaseStore::of(self.cluster(login).await?);
        Ok(store.with_labels(self.labels.clone())?)
    }

    #[cfg(feature = "kube")]
    async fn cluster(&self, login: Login) -> Result<coord_kube::Cluster, Failure> {
        use coord_kube::Cluster;
        const USER_AGENT: &str = concat!("lockheed/", env!("CARGO_PKG_VERSION"));
        let cluster = match login {
            Login::WithoutInput => Cluster::connect(&self.client, USER_AGENT).await,
            _ => Cluster::connect_attended(&self.client, USER_AGENT).await,
        };
        let cluster = cluster.map_err(no_cluster)?;
        if login == Login::First {
            cluster.log_in().await?;
        }
        Ok(cluster)
    }

    #[cfg(not(feature = "kube"))]
    #[allow(clippy::unused_async, reason = "as the one that connects")]
    pub(crate) async fn in_cluster(&self, _: Login) -> Result<AnyStore, Failure> {
        let text = "this build has no Kubernetes client; use --store dir:PATH";
        Err(Failure::usage(text))
    }
}

/// Opens a directory that must be there.
pub(super) fn open_dir(path: &Path) -> Result<DirStore, Failure> {
    DirStore::open(path).map_err(|error| {
        let is_there = path.symlink_metadata().is_ok();
        if error.errno() != Errno::ENOENT || is_there {
            return error.into();
        }
        let text = format!("store {path:?} does not exist: run or acquire creates it");
        Failure::new(Status::from_errno(Errno::ENOENT), text)
    })
}

/// Somebody who tries lockheed out may have no cluster.
#[cfg(feature = "kube")]
fn no_cluster(error: coord_kube::Error) -> Failure {
    if error.errno() != Errno::ENOENT {
        return error.into();
    }
    let error = with_sources(&error);
    let text = format!("{error}; for locks on this machine, use --store dir:PATH");
    Failure::new(Status::from_errno(Errno::ENOENT), text)
}

/// Who may write to a directory must also be able to enter it, and its owner must be able to do
/// all.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
    let mode = mode.ok_or("write an octal mode, such as 2770")?;
    if mode & 0o022 != 0 && mode & 0o1000 != 0 {
        return Err("in a sticky directory, users cannot replace each other's files: write a mode such as 2770".to_owned());
    }
    let enters = (mode & 0o444) >> 2 | (mode & 0o222) >> 1;
    Ok(mode | 0o700 | enters)
}
