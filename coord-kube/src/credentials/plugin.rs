//! Credential plugins: programs that print an `ExecCredential` (`client.authentication.k8s.io`).
//!
//! A plugin runs at the start, again before its credential expires, and again when the server
//! rejects the credential. It never runs twice at a time, and continues if the request that needs
//! it is cancelled.

mod run;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use coord_core::{Errno, HasErrno};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use kube::config::{ExecConfig, ExecInteractiveMode};

use super::Credential;
use crate::Error;

/// How long a plugin may run at the start, when a person may have to log in.
const LONGEST: Duration = Duration::from_secs(120);

/// How long it may run later. If it hangs once, there is time for another run before the credential
/// expires.
const LONGEST_RENEWAL: Duration = Duration::from_secs(25);

/// How long before its expiry a credential is renewed; a short-lived one is renewed in the last
/// quarter of its life.
const AHEAD: Duration = Duration::from_secs(60);

/// How long after a failed renewal the next one begins, while the credential still works.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A plugin, and its last credential.
pub(crate) struct Plugin {
    exec: Exec,
    state: Mutex<State>,
}

/// How the plugin is run.
#[derive(Clone)]
struct Exec {
    config: ExecConfig,
    /// It may have our standard input.
    attended: bool,
}

#[derive(Default)]
struct State {
    issued: Option<Issued>,
    running: Option<Shared<BoxFuture<'static, Result<Issued, Failed>>>>,
    not_before: Option<Instant>,
}

/// A credential from a plugin.
#[derive(Clone)]
struct Issued {
    credential: Arc<Credential>,
    renew_at: Option<SystemTime>,
    expires: Option<SystemTime>,
}

/// A plugin that returned no usable credential.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    program: String,
    why: Arc<Why>,
    /// It returned one before, so it may do so again.
    pub(crate) renewal: bool,
}

#[derive(Debug)]
enum Why {
    NotFound {
        hint: Option<String>,
    },
    NotStarted(io::Error),
    /// The exit status or the signal, and standard error.
    Status(String, String),
    TooLong(Duration),
    Output(&'static str),
    Terminal,
    Ended,
}

impl Plugin {
    pub(super) fn of(config: &ExecConfig, attended: bool) -> Result<Self, Error> {
        let named = |why| Error::config("the credential plugin of the kubeconfig's user", why);
        if config.command.as_deref().unwrap_or_default().is_empty() {
            return Err(named("it has no command"));
        }
        let version = config.api_version.as_deref().unwrap_or_default();
        match (
            version.strip_prefix("client.authentication.k8s.io/"),
            &config.interactive_mode,
        ) {
            (Some("v1"), None) => Err(named("with v1 of its API, it must have an interactiveMode")),
            (Some("v1" | "v1beta1"), _) => Ok(Self {
                exec: Exec {
                    config: config.clone(),
                    attended,
                },
                state: Mutex::default(),
            }),
            _ => Err(named(
                "its apiVersion must be client.authentication.k8s.io/v1 or v1beta1",
            )),
        }
    }

    /// The plugin's credential, if it still works; otherwise a new one.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Credential>, Failed> {
        let running = {
            let mut state = self.state();
            let now = SystemTime::now();
            if let Some(issued) = state.issued.clone().filter(|issued| issued.works(now)) {
                if issued.should_be_renewed(now) && state.may_run() {
                    // It runs on by itself, and nobody waits for it.
                    drop(self.run(&mut state));
                }
                return Ok(issued.credential);
            }
            self.run(&mut state)
        };
        running.await.map(|issued| issued.credential)
    }

    /// The server rejected this credential: runs the plugin again, unless it has run since.
    pub(super) async fn refused(self: &Arc<Self>, refused: &Credential) -> Result<(), Failed> {
        let running = {
            let mut state = self.state();
            let last = state.issued.as_ref();
            if last.is_some_and(|last| !refused.has_what_is_in(&last.credential)) {
                return Ok(());
            }
            self.run(&mut state)
        };
        running.await.map(drop)
    }

    /// Starts it, unless it is running.
    fn run(
        self: &Arc<Self>,
        state: &mut State,
    ) -> Shared<BoxFuture<'static, Result<Issued, Failed>>> {
        if let Some(running) = &state.running {
            return running.clone();
        }
        let this = Arc::clone(self);
        let first = state.issued.is_none();
        let task = tokio::spawn(async move {
            let longest = if first { LONGEST } else { LONGEST_RENEWAL };
            let done = run::run(&this.exec, first, longest).await;
            this.ended(done, first)
        });
        let ended = self.failed(Why::Ended, !first);
        let running = task.map(move |done| done.unwrap_or(Err(ended)));
        let running = running.boxed().shared();
        state.running = Some(running.clone());
        running
    }

    fn ended(&self, done: Result<Issued, Why>, first: bool) -> Result<Issued, Failed> {
        let done = done.map_err(|why| self.failed(why, !first));
        let mut state = self.state();
        state.running = None;
        match &done {
            Ok(issued) => {
                state.issued = Some(issued.clone());
                state.not_before = None;
            }
            Err(_) => state.not_before = Some(Instant::now() + AGAIN_AFTER),
        }
        done
    }

    fn failed(&self, why: Why, renewal: bool) -> Failed {
        Failed {
            program: self.exec.program().to_owned(),
            why: Arc::new(why),
            renewal,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_run(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }
}

impl Issued {
    fn new(credential: Credential, expires: Option<SystemTime>) -> Self {
        let now = SystemTime::now();
        let left = expires.map(|at| at.duration_since(now).unwrap_or_default());
        Self {
            credential: Arc::new(credential),
            renew_at: expires.zip(left).map(|(at, left)| at - AHEAD.min(left / 4)),
            expires,
        }
    }

    fn works(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|at| now < at)
    }

    fn should_be_renewed(&self, now: SystemTime) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }
}

impl Credential {
    /// Whether the rejected credential contains everything that this plugin issued.
    fn has_what_is_in(&self, issued: &Self) -> bool {
        let token = issued.authorization.as_ref();
        let identity = issued.identity.as_ref();
        token.is_none_or(|token| self.authorization.as_ref() == Some(token))
            && identity.is_none_or(|it| self.identity.as_ref().is_some_and(|own| own.is(it)))
    }
}

impl Exec {
    fn program(&self) -> &str {
        self.config.command.as_deref().unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.config.api_version.as_deref().unwrap_or_default()
    }

    fn wants_terminal(&self) -> bool {
        self.config.interactive_mode != Some(ExecInteractiveMode::Never)
    }

    fn needs_terminal(&self) -> bool {
        self.config.interactive_mode == Some(ExecInteractiveMode::Always)
    }
}

/// Never contains the arguments, the environment or the output, which have secrets.
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the credential plugin {:?} ", self.program)?;
        match &*self.why {
            Why::NotFound { hint: None } => f.write_str("is not installed"),
            Why::NotFound { hint: Some(hint) } => write!(f, "is not installed: {hint}"),
            Why::NotStarted(error) => write!(f, "cannot be run: {error}"),
            Why::Status(status, said) if said.is_empty() => write!(f, "failed with {status}"),
            Why::Status(status, said) => write!(f, "failed with {status}: {said}"),
            Why::TooLong(limit) => write!(f, "has not ended within {limit:?}, and was killed"),
            Why::Output(wrong) => f.write_str(wrong),
            Why::Terminal => f.write_str(
                "asks for a terminal (interactiveMode Always), and may not have one here",
            ),
            Why::Ended => f.write_str("was given up"),
        }
    }
}

impl std::error::Error for Failed {}

impl HasErrno for Failed {
    fn errno(&self) -> Errno {
        match &*self.why {
            Why::NotFound { .. } => Errno::ENOENT,
            Why::NotStarted(error) => error.errno(),
            Why::TooLong(_) => Errno::ETIMEDOUT,
            Why::Output(_) => Errno::EINVAL,
            Why::Status(..) | Why::Terminal | Why::Ended => Errno::EACCES,
        }
    }
}
