//! Which store a command works on.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    str::FromStr,
};

use clap::Args;
use coord_core::{cli::Failure, text::shell_quoted};
use lockheed::DirStore;

use super::store::AnyStore;

/// How the names of the ConfigMaps begin, unless another prefix is given.
#[cfg(feature = "kube")]
const PREFIX: &str = "lockheed";

/// Where the locks are.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArg {
    /// Where the locks are: kube, or dir:PATH
    #[arg(
        long,
        global = true,
        env = "LOCKHEED_STORE",
        value_name = "STORE",
        default_value = "kube",
        display_order = 80
    )]
    store: Place,
    /// Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        value_parser = mode,
        display_order = 81
    )]
    mode: Option<u32>,
    /// How the names of the ConfigMaps begin
    #[cfg(feature = "kube")]
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        default_value = PREFIX,
        display_order = 82
    )]
    prefix: String,
    /// What the ConfigMaps are to have.
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
    Dir(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "kube" => Ok(Self::Kube),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Dir(path.into())),
            _ => Err("write kube or dir:PATH, such as dir:/run/lock/example".to_owned()),
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

    /// The same, with these labels for what is written.
    #[cfg_attr(
        not(feature = "kube"),
        allow(unused_mut, reason = "there is no such store")
    )]
    pub(crate) fn with_labels(mut self, labels: &[(String, String)]) -> Result<Self, Failure> {
        if let (Place::Dir(_), Some((key, _))) = (&self.store, labels.first()) {
            let text =
                format!("--label {key} is for --store kube: a directory's locks have no labels");
            return Err(Failure::usage(text));
        }
        #[cfg(feature = "kube")]
        labels.clone_into(&mut self.labels);
        Ok(self)
    }

    /// The options, as they are typed into a shell, that name this store again: from any directory, and
    /// whatever the environment says.
    pub(crate) fn as_typed(&self) -> Vec<String> {
        let option = |name, value: &OsStr| format!("--{name}={}", shell_quoted(value));
        match &self.store {
            Place::Dir(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let mut place = OsString::from("dir:");
                place.push(path);
                vec![option("store", &place)]
            }
            Place::Kube => {
                let is_default = std::env::var_os("LOCKHEED_STORE").is_none();
                let store = (!is_default).then(|| option("store", "kube".as_ref()));
                #[cfg(feature = "kube")]
                let store = {
                    let prefix =
                        (self.prefix != PREFIX).then(|| option("prefix", self.prefix.as_ref()));
                    store
                        .into_iter()
                        .chain(prefix)
                        .chain(self.client.as_typed())
                };
                store.into_iter().collect()
            }
        }
    }

    /// Opens the store. A directory must be there.
    pub(crate) async fn open(&self) -> Result<AnyStore, Failure> {
        match &self.store {
            Place::Dir(path) => Ok(AnyStore::Dir(DirStore::open(path)?)),
            Place::Kube => self.any_kube(Login::First).await,
        }
    }

    /// The same for who wants a lock; a directory is made if it is not there.
    pub(crate) async fn open_or_create(&self, login: Login) -> Result<AnyStore, Failure> {
        let path = match &self.store {
            Place::Dir(path) => path,
            Place::Kube => return self.any_kube(login).await,
        };
        let store = match self.mode {
            Some(mode) => DirStore::create_with_mode(path, mode),
            None => DirStore::create(path),
        };
        Ok(AnyStore::Dir(store?))
    }

    #[cfg(feature = "kube")]
    async fn any_kube(&self, login: Login) -> Result<AnyStore, Failure> {
        Ok(AnyStore::Kube(Box::new(self.kube(login).await?)))
    }

    #[cfg(not(feature = "kube"))]
    async fn any_kube(&self, login: Login) -> Result<AnyStore, Failure> {
        self.kube(login).await.map(AnyStore::Dir)
    }

    #[cfg(feature = "kube")]
    pub(crate) async fn kube(&self, login: Login) -> Result<lockheed::KubeStore, Failure> {
        use coord_kube::Cluster;
        const USER_AGENT: &str = concat!("lockheed/", env!("CARGO_PKG_VERSION"));
        let cluster = match login {
            Login::WithoutInput => Cluster::connect(&self.client, USER_AGENT).await?,
            _ => Cluster::connect_attended(&self.client, USER_AGENT).await?,
        };
        if login == Login::First {
            cluster.log_in().await?;
        }
        let store = lockheed::KubeStore::of(cluster).with_prefix(&self.prefix)?;
        Ok(store.with_labels(self.labels.clone())?)
    }

    #[cfg(not(feature = "kube"))]
    #[allow(clippy::unused_async, reason = "as the one that connects")]
    pub(crate) async fn kube(&self, _: Login) -> Result<DirStore, Failure> {
        let text = "this build has no Kubernetes client; use --store dir:PATH";
        Err(Failure::usage(text))
    }
}

/// Who may write to a directory must also be able to enter it, and its owner must be able to do all.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or("write an octal mode, such as 2770")?;
    if mode & 0o022 != 0 && mode & 0o1000 != 0 {
        return Err("in a sticky directory users cannot replace each other's files".to_owned());
    }
    let enters = (mode & 0o444) >> 2 | (mode & 0o222) >> 1;
    Ok(mode | 0o700 | enters)
}
