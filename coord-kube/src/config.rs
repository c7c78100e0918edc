//! Turns arguments and environment into a client's configuration.

mod file;
mod target;

use std::{env, ffi::OsString, io, path::PathBuf};

use kube::{Config, config::Kubeconfig};

use crate::{ClientArgs, Error};

/// Where a kubeconfig comes from.
enum Origin {
    Flag(PathBuf),
    Variable(OsString),
    Home(PathBuf),
    /// There is no file; `--server` names the cluster.
    Nothing,
}

/// The parts of the environment that decide.
struct Environment {
    kubeconfig: Option<OsString>,
    in_pod: bool,
    home: Option<PathBuf>,
}

impl Environment {
    fn read() -> Self {
        Self {
            kubeconfig: env::var_os("KUBECONFIG").filter(|value| !value.is_empty()),
            in_pod: env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            home: env::home_dir(),
        }
    }
}

impl ClientArgs {
    /// The client's configuration. Its proxy is only the kubeconfig's, which takes precedence over
    /// the environment's.
    pub(super) fn config(&self) -> Result<Config, Error> {
        self.config_in(Environment::read())
    }

    fn config_in(&self, environment: Environment) -> Result<Config, Error> {
        if let Some(namespace) = &self.namespace {
            check_namespace(namespace)?;
        }
        let mut config = match self.origin(environment)? {
            Some(origin) => target::config(self, &origin.load()?, &origin.name())?,
            None => target::of_pod(self)?,
        };
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    /// The kubeconfig to use. Returns `None` in a Pod, where the service account is used.
    fn origin(&self, environment: Environment) -> Result<Option<Origin>, Error> {
        if let Some(path) = &self.kubeconfig {
            return Ok(Some(Origin::Flag(path.clone())));
        }
        if let Some(paths) = environment.kubeconfig {
            return Ok(Some(Origin::Variable(paths)));
        }
        let of_file = self.context.is_some() || self.cluster.is_some() || self.user.is_some();
        if environment.in_pod && !of_file {
            return Ok(None);
        }
        let home = environment.home.map(|home| home.join(".kube/config"));
        match home.filter(|path| path.exists()) {
            Some(path) => Ok(Some(Origin::Home(path))),
            // As with kubectl, an address is enough.
            None if self.server.is_some() && !of_file => Ok(Some(Origin::Nothing)),
            None => Err(Error::no_cluster()),
        }
    }
}

impl Origin {
    /// The source, for error texts: the argument, the variable or the file.
    fn name(&self) -> String {
        match self {
            Self::Flag(path) => format!("--kubeconfig {path:?}"),
            Self::Variable(paths) => format!("KUBECONFIG={paths:?}"),
            Self::Home(path) => format!("{path:?}"),
            Self::Nothing => "--server".to_owned(),
        }
    }

    fn load(&self) -> Result<Kubeconfig, Error> {
        match self {
            Self::Flag(path) | Self::Home(path) => {
                file::read(path).map_err(|why| Error::config(self.name(), why))
            }
            Self::Variable(paths) => self.load_list(paths),
            Self::Nothing => Ok(Kubeconfig::default()),
        }
    }

    /// Loads the files of a list that exist, as in a `PATH`. If several define the same thing, the
    /// first one counts.
    fn load_list(&self, paths: &OsString) -> Result<Kubeconfig, Error> {
        let mut merged = None;
        for path in env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()) {
            let next = match file::read(&path) {
                Err(why) if why.is_missing() => continue,
                read => {
                    read.map_err(|why| Error::config(format!("{path:?} of KUBECONFIG"), why))?
                }
            };
            let before: Kubeconfig = merged.unwrap_or_default();
            // They all have the same kind and version, so they can be merged.
            merged = before.merge(next).ok();
        }
        let none = || io::Error::new(io::ErrorKind::NotFound, "none of its files is there");
        merged.ok_or_else(|| Error::config(self.name(), none()))
    }
}

/// Accepts only a valid namespace name, an RFC 1123 label, because the namespace becomes part of
/// the path of each request.
pub(super) fn check_namespace(namespace: &str) -> Result<(), Error> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = (1..=63).contains(&namespace.len())
        && namespace.chars().all(inner)
        && !namespace.starts_with('-')
        && !namespace.ends_with('-');
    if label {
        return Ok(());
    }
    let why = "a namespace has up to 63 of a-z, 0-9 and -, and no - at its ends";
    Err(Error::config(format!("the namespace {namespace:?}"), why))
}

#[cfg(test)]
mod tests;
