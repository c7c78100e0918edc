//! From arguments and environment to a client's configuration.

use std::{env, ffi::OsString, path::PathBuf};

use kube::{
    Config,
    config::{Kubeconfig, KubeconfigError},
};

use crate::{ClientArgs, Error};

/// Where a kubeconfig comes from.
enum Origin {
    Flag(PathBuf),
    Variable(OsString),
    Home(PathBuf),
}

/// What of the environment decides.
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
    pub(super) fn config(&self) -> Result<Config, Error> {
        if let Some(namespace) = &self.namespace {
            check_namespace("--namespace", namespace)?;
        }
        let mut config = match self.origin(Environment::read())? {
            Some(origin) => self.of_kubeconfig(&origin)?,
            None => Config::incluster_env()
                .map_err(|error| Error::config("the Pod's service account", error))?,
        };
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    /// The kubeconfig to use; none in a Pod, whose service account is used.
    fn origin(&self, environment: Environment) -> Result<Option<Origin>, Error> {
        if let Some(path) = &self.kubeconfig {
            return Ok(Some(Origin::Flag(path.clone())));
        }
        if let Some(paths) = environment.kubeconfig {
            return Ok(Some(Origin::Variable(paths)));
        }
        if environment.in_pod && self.context.is_none() {
            return Ok(None);
        }
        let home = environment.home.map(|home| home.join(".kube/config"));
        let path = home
            .filter(|path| path.exists())
            .ok_or_else(Error::no_cluster)?;
        Ok(Some(Origin::Home(path)))
    }

    fn of_kubeconfig(&self, origin: &Origin) -> Result<Config, Error> {
        let named = |error| Error::config(origin.name(), error);
        let mut kubeconfig = origin.load().map_err(named)?;
        if let Some(context) = &self.context {
            if !kubeconfig
                .contexts
                .iter()
                .any(|known| known.name == *context)
            {
                let why = format!("{} has no context of that name", origin.name());
                return Err(Error::config(format!("--context {context:?}"), why));
            }
            kubeconfig.current_context = Some(context.clone());
        }
        Config::try_from(kubeconfig).map_err(named)
    }
}

impl Origin {
    /// For people: the argument, the variable or the file.
    fn name(&self) -> String {
        match self {
            Self::Flag(path) => format!("--kubeconfig {path:?}"),
            Self::Variable(paths) => format!("KUBECONFIG={paths:?}"),
            Self::Home(path) => format!("{path:?}"),
        }
    }

    fn load(&self) -> Result<Kubeconfig, KubeconfigError> {
        match self {
            Self::Flag(path) | Self::Home(path) => Kubeconfig::read_from(path),
            Self::Variable(_) => Kubeconfig::read(),
        }
    }
}

/// A namespace becomes a part of the path of each request, so that only a name that can be one is let through: an RFC 1123 label.
pub(super) fn check_namespace(what: &str, namespace: &str) -> Result<(), Error> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = (1..=63).contains(&namespace.len())
        && namespace.chars().all(inner)
        && !namespace.starts_with('-')
        && !namespace.ends_with('-');
    if label {
        return Ok(());
    }
    let why = "a namespace has up to 63 of a-z, 0-9 and -, and no - at its ends";
    Err(Error::config(format!("{what} {namespace:?}"), why))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use coord_core::Errno;

    const KUBECONFIG: &str = r#"{"current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "namespace": "first"}},
                     {"name": "two", "context": {"cluster": "c"}}]}"#;

    fn environment(kubeconfig: Option<&str>, in_pod: bool, home: Option<&Path>) -> Environment {
        Environment {
            kubeconfig: kubeconfig.map(Into::into),
            in_pod,
            home: home.map(Into::into),
        }
    }

    #[test]
    fn the_first_that_is_there_decides() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        fs::create_dir(home.join(".kube")).unwrap();
        fs::write(home.join(".kube/config"), KUBECONFIG).unwrap();
        let flag = ClientArgs {
            kubeconfig: Some("/flag".into()),
            ..ClientArgs::default()
        };
        let context = ClientArgs {
            context: Some("two".into()),
            ..ClientArgs::default()
        };
        let nothing = ClientArgs::default();
        let name = |args: &ClientArgs, environment| {
            args.origin(environment)
                .map(|origin| origin.map_or("pod".to_owned(), |it| it.name()))
        };
        let at_home = format!("{:?}", home.join(".kube/config"));
        let cases = [
            (
                &flag,
                environment(Some("/var"), true, Some(home)),
                "--kubeconfig \"/flag\"",
            ),
            (
                &nothing,
                environment(Some("/var"), true, Some(home)),
                "KUBECONFIG=\"/var\"",
            ),
            (&nothing, environment(None, true, Some(home)), "pod"),
            (&context, environment(None, true, Some(home)), &*at_home),
            (&nothing, environment(None, false, Some(home)), &*at_home),
        ];
        for (args, environment, expected) in cases {
            assert_eq!(name(args, environment).unwrap(), expected);
        }
        let error = name(
            &nothing,
            environment(None, false, Some(&home.join("other"))),
        )
        .unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
        assert!(error.to_string().contains("KUBECONFIG"), "{error}");
        // `--context` says that a kubeconfig is meant: the Pod's account is no substitute for it.
        assert_eq!(
            name(&context, environment(None, true, None))
                .unwrap_err()
                .errno(),
            Errno::ENOENT
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), KUBECONFIG).unwrap();
        let path = file.path().to_owned();
        let given =
            |kubeconfig: PathBuf, context: Option<&str>, namespace: Option<&str>| ClientArgs {
                kubeconfig: Some(kubeconfig),
                context: context.map(Into::into),
                namespace: namespace.map(Into::into),
            };
        let works = given(path.clone(), None, None).config().unwrap();
        assert_eq!(works.default_namespace, "first");
        let two = given(path.clone(), Some("two"), None).config().unwrap();
        assert_eq!(two.default_namespace, "default");
        let three = given(path.clone(), Some("two"), Some("third"))
            .config()
            .unwrap();
        assert_eq!(three.default_namespace, "third");

        let no_yaml = tempfile::NamedTempFile::new().unwrap();
        fs::write(no_yaml.path(), "clusters: {]").unwrap();
        let cases = [
            (
                given("/no/such/file".into(), None, None),
                Errno::ENOENT,
                "--kubeconfig \"/no/such/file\"",
            ),
            (
                given("/".into(), None, None),
                Errno::EISDIR,
                "--kubeconfig \"/\"",
            ),
            (
                given(no_yaml.path().into(), None, None),
                Errno::EINVAL,
                "--kubeconfig",
            ),
            (
                given(path.clone(), Some("none"), None),
                Errno::EINVAL,
                "--context \"none\"",
            ),
            (
                given(path.clone(), None, Some("a/b")),
                Errno::EINVAL,
                "--namespace \"a/b\"",
            ),
            (
                given(path, None, Some("")),
                Errno::EINVAL,
                "--namespace \"\"",
            ),
        ];
        for (args, errno, named) in cases {
            let error = args.config().unwrap_err();
            assert_eq!(error.errno(), errno, "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
