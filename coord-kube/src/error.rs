//! Errors of requests: what each request was about, and its errno.

mod connection;

use std::{error::Error as StdError, fmt, time::Duration};

use coord_core::{Errno, HasErrno, text::escaped};
use kube::core::Status;

use self::connection::{chain, io_error, of_connection};
use crate::{Action, Rule, bounded::TooLong, connection::NotConnected, credentials};

type Source = Box<dyn StdError + Send + Sync>;

/// A failed request, or a client that could not be set up.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// This argument, variable or file is invalid.
    Config(String, Source),
    /// Nothing names a cluster.
    NoCluster,
    /// The server answered with this error.
    Answer(Action, Box<Status>),
    /// The server refused the request because it is not ready. Or we cannot tell whether it is
    /// ready, for this reason.
    Starting(Action, Box<Status>, Option<String>),
    /// The server did not answer in time.
    TimedOut(Action, Duration),
    /// No credentials could be obtained.
    Credentials(Option<Action>, credentials::Failed),
    /// There was no answer, or an unreadable one.
    Failed(Action, Box<kube::Error>),
    /// The server was silent for too long during a watch.
    Silent(Action, Duration),
}

impl Error {
    /// This argument, variable or file is invalid, for this reason.
    pub(super) fn config(what: impl Into<String>, why: impl Into<Source>) -> Self {
        Kind::Config(what.into(), why.into()).into()
    }

    pub(super) fn no_cluster() -> Self {
        Kind::NoCluster.into()
    }

    /// A refusal that is not final yet: the server is not ready, or does not say whether it is, for
    /// the reason in `unknown`.
    pub(super) fn starting(action: Action, status: Box<Status>, unknown: Option<String>) -> Self {
        Kind::Starting(action, status, unknown).into()
    }

    pub(super) fn timed_out(action: Action, after: Duration) -> Self {
        Kind::TimedOut(action, after).into()
    }

    pub(super) fn silent(action: Action, after: Duration) -> Self {
        Kind::Silent(action, after).into()
    }

    /// Wraps a client's error together with what the request was about. Use it for requests made
    /// without [`Cluster::call`](crate::Cluster::call).
    #[must_use]
    pub fn of(action: Action, error: kube::Error) -> Self {
        let of_credentials = chain(&error).find_map(<dyn StdError>::downcast_ref);
        if let Some(failed) = of_credentials {
            return Kind::Credentials(Some(action), credentials::Failed::clone(failed)).into();
        }
        match error {
            kube::Error::Api(status) => Kind::Answer(action, status).into(),
            error => Kind::Failed(action, Box::new(error)).into(),
        }
    }

    pub(super) fn of_log_in(failed: credentials::Failed) -> Self {
        Kind::Credentials(None, failed).into()
    }

    /// The error number:
    ///
    /// | answer | errno |
    /// |---|---|
    /// | 400, 422; arguments that cannot be used | `EINVAL` |
    /// | 401, 403 | `EACCES` |
    /// | 404; no cluster is named | `ENOENT` |
    /// | 409 because it exists | `EEXIST` |
    /// | 409 because it has changed | `EAGAIN` |
    /// | 410 | `ESTALE` |
    /// | 429, 503; 403 of a server that says that it is not ready | `EAGAIN` |
    /// | 408, 504, no answer in time | `ETIMEDOUT` |
    /// | connection refused | `ECONNREFUSED` |
    /// | connection lost | `ECONNRESET` |
    /// | a credential plugin that fails | `EACCES`; missing: `ENOENT`; hanging: `ETIMEDOUT` |
    /// | any other | `EIO`, with its text |
    ///
    /// For an unreadable file it is the number of the failed system call.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match &self.kind {
            Kind::Config(_, source) => io_error(&**source).map_or(Errno::EINVAL, HasErrno::errno),
            Kind::NoCluster => Errno::ENOENT,
            Kind::Answer(_, status) | Kind::Starting(_, status, Some(_)) => of_answer(status),
            Kind::Starting(_, _, None) => Errno::EAGAIN,
            Kind::TimedOut(..) | Kind::Silent(..) => Errno::ETIMEDOUT,
            Kind::Credentials(_, failed) => failed.errno(),
            Kind::Failed(_, error) => of_connection(error),
        }
    }

    /// The HTTP status of the server's answer; `None` if there was no answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.kind {
            Kind::Answer(_, status) | Kind::Starting(_, status, _) => Some(status.code),
            _ => None,
        }
    }

    /// How long the server asks the client to wait before another request (`Retry-After`, RFC 9110
    /// section 10.2.3).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let Kind::Answer(_, status) = &self.kind else {
            return None;
        };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Whether the same request may succeed later: the server is unreachable, does not answer, or
    /// is overloaded.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &self.kind {
            Kind::Config(..) | Kind::NoCluster => false,
            // A plugin that has never worked is probably set up wrongly.
            Kind::Credentials(_, failed) => failed.renewal,
            // 501 and 505 will not change. An answer without a code came from something between us
            // and the server.
            Kind::Answer(_, status) => {
                matches!(status.code, 0 | 408 | 429 | 500 | 502..=504 | 506..=599)
            }
            // None of these is final, also not a name that cannot be resolved just now or an
            // unreadable answer.
            Kind::Starting(..) | Kind::TimedOut(..) | Kind::Silent(..) | Kind::Failed(..) => true,
        }
    }

    /// Whether the request certainly changed nothing: it was not sent, or the server refused it.
    ///
    /// After any other error the server may have acted on it, or may still do so.
    #[must_use]
    pub fn had_no_effect(&self) -> bool {
        match &self.kind {
            Kind::Config(..) | Kind::NoCluster | Kind::Credentials(..) | Kind::Starting(..) => true,
            Kind::Answer(_, status) => {
                let is_refused = (400..500).contains(&status.code) && status.code != 408;
                is_refused || was_not_admitted(status)
            }
            Kind::TimedOut(..) | Kind::Silent(..) => false,
            Kind::Failed(_, error) => {
                chain(&**error).any(<dyn StdError>::is::<NotConnected>)
                    || of_connection(error) == Errno::ECONNREFUSED
            }
        }
    }
}

/// Whether an admission webhook could not be reached. Then the API server writes nothing and
/// answers with status 500.
fn was_not_admitted(status: &Status) -> bool {
    status.code == 500 && status.message.contains("failed calling webhook")
}

impl Error {
    /// Whether the answer was longer than any object can be.
    pub(super) fn is_too_long(&self) -> bool {
        let Kind::Failed(_, error) = &self.kind else {
            return false;
        };
        chain(&**error).any(<dyn StdError>::is::<TooLong>)
    }

    /// The token for continuing a list whose first part the server has discarded (410); the server
    /// sends it in that answer.
    pub(super) fn goes_on_at(&self) -> Option<String> {
        match &self.kind {
            Kind::Answer(_, status) if status.code == 410 => {
                let rest = status.metadata.as_ref()?.continue_.clone();
                rest.filter(|token| !token.is_empty())
            }
            _ => None,
        }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind }
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        self.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Config(what, _) => write!(f, "cannot use {what}"),
            Kind::NoCluster => f.write_str(
                "no cluster to talk to: there is no --kubeconfig, no KUBECONFIG, no service account of a Pod and no ~/.kube/config",
            ),
            Kind::Answer(action, status) => answered(f, action, status),
            Kind::Starting(action, status, None) => write!(
                f,
                "cannot {action}: the server is not ready: {}",
                Text(status)
            ),
            Kind::Starting(action, status, Some(unknown)) => {
                answered(f, action, status)?;
                let unknown = escaped(unknown);
                write!(f, "; or the server is still starting, and /readyz does not tell ({unknown})")
            }
            Kind::TimedOut(action, after) => write!(f, "cannot {action}: no answer within {after:?}"),
            Kind::Silent(action, after) => write!(f, "cannot {action}: the server has been silent for {after:?}"),
            Kind::Credentials(None, _) => f.write_str("cannot log in"),
            Kind::Failed(action, _) | Kind::Credentials(Some(action), _) => write!(f, "cannot {action}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            Kind::Config(_, source) => Some(&**source),
            // Skips the error whose text repeats its source's.
            Kind::Failed(_, error) => error.source().or(Some(&**error)),
            Kind::Credentials(_, failed) => Some(failed),
            _ => None,
        }
    }
}

fn answered(f: &mut fmt::Formatter<'_>, action: &Action, status: &Status) -> fmt::Result {
    let text = Text(status);
    match status.code {
        // 403 also means a namespace that is being deleted, or an exceeded quota.
        403 if status.message.contains(&format!(" cannot {}", action.verb)) => {
            let rule = Rule::new(action.verb, action.resource);
            match &action.namespace {
                Some(namespace) => write!(
                    f,
                    "not allowed to {action}: a Role in {namespace:?} must have the rule {rule}: {text}"
                ),
                None => write!(
                    f,
                    "not allowed to {action}: a ClusterRole must have the rule {rule}: {text}"
                ),
            }
        }
        401 => write!(
            f,
            "cannot {action}: the server does not accept these credentials: {text}"
        ),
        _ => write!(f, "cannot {action}: {text}"),
    }
}

/// The server's message and code. A body that is not a Status is quoted up to a limit.
struct Text<'a>(&'a Status);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 500;
        let Self(status) = self;
        let said: String = status.message.trim().chars().take(LONGEST).collect();
        match status.code {
            0 => f.write_str("the server answered with an error that has no code")?,
            code => write!(f, "the server answered {code}")?,
        }
        if said.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", escaped(&said))
    }
}

fn of_answer(status: &Status) -> Errno {
    match status.code {
        400 | 422 => Errno::EINVAL,
        401 | 403 => Errno::EACCES,
        404 => Errno::ENOENT,
        409 if status.reason == "AlreadyExists" => Errno::EEXIST,
        409 | 429 | 503 => Errno::EAGAIN,
        410 => Errno::ESTALE,
        408 | 504 => Errno::ETIMEDOUT,
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn answered(code: u16, reason: &str) -> Error {
        answered_with(code, reason, "said so")
    }

    fn answered_with(code: u16, reason: &str, text: &str) -> Error {
        let status = Status::failure(text, reason).with_code(code);
        let action = Action::new("update", "configmaps").within("ci").on("lock");
        Error::of(action, kube::Error::Api(status.boxed()))
    }

    #[test]
    fn answers_have_errnos() {
        let cases = [
            (400, "BadRequest", Errno::EINVAL),
            (401, "Unauthorized", Errno::EACCES),
            (403, "Forbidden", Errno::EACCES),
            (404, "NotFound", Errno::ENOENT),
            (409, "AlreadyExists", Errno::EEXIST),
            (409, "Conflict", Errno::EAGAIN),
            (410, "Expired", Errno::ESTALE),
            (422, "Invalid", Errno::EINVAL),
            (429, "TooManyRequests", Errno::EAGAIN),
            (503, "ServiceUnavailable", Errno::EAGAIN),
            (504, "Timeout", Errno::ETIMEDOUT),
            (500, "InternalError", Errno::EIO),
            (418, "", Errno::EIO),
        ];
        for (code, reason, errno) in cases {
            let error = answered(code, reason);
            assert_eq!(error.errno(), errno, "{code} {reason}");
            assert_eq!(error.status(), Some(code));
            let text = error.to_string();
            assert!(
                text.contains(r#"update configmaps "lock" in namespace "ci""#),
                "{text}"
            );
            assert!(text.contains(&format!("{code}: said so")), "{text}");
        }
    }

    // Holds coord-kube-6.
    #[test]
    fn a_refused_request_names_the_missing_rule() {
        let refused = "User \"u\" cannot update resource \"configmaps\"";
        assert_eq!(
            answered_with(403, "Forbidden", refused).to_string(),
            "not allowed to update configmaps \"lock\" in namespace \"ci\": a Role in \"ci\" must have the rule \
             {apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"update\"]}: the server answered 403: User \"u\" cannot update resource \"configmaps\""
        );
        let going = answered_with(403, "Forbidden", "namespace ci is being terminated");
        assert!(!going.to_string().contains("rule"), "{going}");
    }

    #[test]
    fn only_a_refusal_is_known_to_have_changed_nothing() {
        for code in [400, 401, 403, 404, 409, 410, 413, 422, 429] {
            assert!(answered(code, "").had_no_effect(), "{code}");
        }
        for code in [408, 500, 502, 503, 504] {
            assert!(!answered(code, "").had_no_effect(), "{code}");
            assert!(answered(code, "").is_transient(), "{code}");
        }
        let timed_out =
            Error::timed_out(Action::new("update", "configmaps"), Duration::from_secs(1));
        assert!(!timed_out.had_no_effect());
    }

    #[test]
    fn the_innermost_io_error_counts() {
        let inner = io::Error::from(io::ErrorKind::ConnectionRefused);
        let outer = kube::Error::Service(Box::new(io::Error::other(inner)));
        let error = Error::of(Action::new("get", "pods"), outer);
        assert_eq!(error.errno(), Errno::ECONNREFUSED);
        assert!(error.had_no_effect());
    }
}
