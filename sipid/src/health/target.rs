//! The things that can become healthy.

use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr};

use coord_core::text::{escaped, without_password};

use super::{Error, Kind, url::Url};

/// The longest path of a Unix socket, `unix(7)`: `sun_path` without its last byte.
const LONGEST_SOCKET_PATH: usize = 107;

/// Something that must become healthy. It is parsed from a URL, and shown without the password in
/// it:
///
/// - `http://…` and `https://…` (feature `tls`) are healthy when their status is an expected one;
/// - `tcp://host:port` and `unix:/path` when they can be connected to;
/// - `file:/path` when it exists;
/// - a [command](Self::command) when it exits with status 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub(super) What);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Http(Url),
    Tcp(Url),
    Unix(PathBuf),
    File(PathBuf),
    Command(Vec<OsString>),
}

impl Target {
    /// A program with its arguments, which is healthy when it exits with status 0. It is searched
    /// for in `PATH`. While this process ignores SIGCHLD, its status cannot be determined,
    /// `wait(2)`.
    ///
    /// # Errors
    /// `EINVAL` when there is no program.
    pub fn command<S: Into<OsString>>(command: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let command: Vec<OsString> = command.into_iter().map(Into::into).collect();
        if command.is_empty() {
            return Err(Kind::BadTarget(String::new(), "it has no program".to_owned()).into());
        }
        Ok(Self(What::Command(command)))
    }
}

impl FromStr for Target {
    type Err = Error;

    /// # Errors
    /// `EINVAL` for a URL that can never work.
    fn from_str(text: &str) -> Result<Self, Error> {
        let what = parse(text).map_err(|reason| {
            let shown = escaped(&without_password(text)).to_string();
            Kind::BadTarget(shown, reason)
        })?;
        Ok(Self(what))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Http(url) | What::Tcp(url) => write!(f, "{url}"),
            What::Unix(path) => write!(f, "unix:{}", escaped(&path.to_string_lossy())),
            What::File(path) => write!(f, "file:{}", escaped(&path.to_string_lossy())),
            What::Command(command) => {
                let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
                write!(f, "\"{}\"", escaped(&words.join(" ")))
            }
        }
    }
}

fn parse(text: &str) -> Result<What, String> {
    if let Some(path) = path_of(text, "unix:")? {
        check_socket(&path)?;
        return Ok(What::Unix(path));
    }
    if let Some(path) = path_of(text, "file:")? {
        return Ok(What::File(path));
    }
    let is = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    match () {
        () if is("tcp://") => Url::parse(text).map(What::Tcp),
        () if is("http://") => Url::parse(text).map(What::Http),
        () if is("https://") && !cfg!(feature = "tls") => Err("this build has no TLS".to_owned()),
        () if is("https://") => Url::parse(text).map(What::Http),
        () => Err("start it with http://, https://, tcp://, unix:/ or file:/".to_owned()),
    }
}

/// The path after this scheme. A local file's URL may have an empty host, RFC 8089.
fn path_of(text: &str, scheme: &str) -> Result<Option<PathBuf>, String> {
    let Some(path) = text.strip_prefix(scheme) else {
        return Ok(None);
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" => Err("it has no path".to_owned()),
        path if path.contains('\0') => Err("its path has a NUL byte".to_owned()),
        path => Ok(Some(path.into())),
    }
}

/// Checks the path of a socket, and says what is wrong with it.
pub(super) fn check_socket(path: &std::path::Path) -> Result<(), String> {
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "a Unix socket's path has at most {LONGEST_SOCKET_PATH} bytes"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_shown_as_it_was_written() {
        for text in [
            "http://h/x",
            "tcp://h:1",
            "unix:/run/x",
            "file:/run/x",
            "unix:x",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let file: Target = "file:///run/x".parse().unwrap();
        assert_eq!(file.to_string(), "file:/run/x");
        let command = Target::command(["pg_isready", "-q\x1b"]).unwrap();
        assert_eq!(command.to_string(), "\"pg_isready -q\\u{1b}\"");
    }

    #[test]
    fn what_can_never_work_is_named_without_its_password() {
        let long = format!("unix:/{}", "x".repeat(200));
        for bad in [
            "",
            "unix:",
            "file:",
            "ftp://u:secret@h",
            "http://u:se/cret@h",
            &long,
        ] {
            let error = bad.parse::<Target>().unwrap_err();
            assert_eq!(error.errno(), coord_core::Errno::EINVAL);
            assert!(!error.to_string().contains("cret"), "{error}");
        }
        assert!(Target::command(Vec::<String>::new()).is_err());
    }
}
