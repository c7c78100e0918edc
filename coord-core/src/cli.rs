//! The runner: everything between `main` and a tool's own work.
//!
//! ```no_run
//! use coord_core::{Status, cli::{self, Failure, Help, Tool}, log::{Defaults, LogArgs}};
//!
//! /// Says hello
//! #[derive(clap::Parser)]
//! struct Hello {
//!     #[command(flatten)]
//!     log: LogArgs,
//! }
//!
//! impl Tool for Hello {
//!     const NAME: &'static str = "hello";
//!     const LOG: Defaults = Defaults {
//!         env_prefix: "HELLO",
//!         level: log::LevelFilter::Warn,
//!         crates: &["hello"],
//!         silent_below_debug: &[],
//!     };
//!     const HELP: &'static [Help] = &[Help {
//!         command: "",
//!         is_wrapper: false,
//!         statuses: &[],
//!         variables: &[],
//!         examples: &[("Say hello, and nothing else", "hello --quiet")],
//!     }];
//!
//!     fn log_args(&self) -> LogArgs {
//!         self.log
//!     }
//!
//!     fn run(self) -> Result<Status, Failure> {
//!         cli::print("hello\n")?;
//!         Ok(Status::DONE)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cli::main::<Hello>()
//! }
//! ```

pub mod help;
mod usage;
mod variables;

use std::{
    borrow::Cow,
    env,
    error::Error,
    ffi::OsStr,
    fmt,
    io::{self, Write as _},
    panic,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::error::ErrorKind;

pub use self::help::Help;
use self::variables::Wrong;
use crate::{
    Errno, HasErrno, Status,
    errno::with_sources,
    log::{self, Defaults, LogArgs},
    text::escaped,
};

/// A command line tool: its arguments are the type itself, by way of clap.
///
/// A variable of clap's `env` is read only if its option is not on the command line, and an empty
/// one counts as none. This is for options that are global, have a value and may be left out.
pub trait Tool: clap::Parser {
    /// The binary's name, which begins each line it writes about itself.
    const NAME: &'static str;
    /// What its logging starts from.
    const LOG: Defaults;
    /// What its help says beside the options, for itself and for each command.
    const HELP: &'static [Help];

    /// The log options it was given.
    fn log_args(&self) -> LogArgs;

    /// Does the work.
    ///
    /// # Errors
    /// Whatever keeps it from being done; the runner prints it and turns it into the exit status.
    fn run(self) -> Result<Status, Failure>;
}

/// Why a command failed, and the status it ends with.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure whose status is not the error's own, such as [`Status::FAILED`] of a command that
    /// runs another.
    pub fn new(status: Status, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// Arguments that were well formed and make no sense together, or here.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Status::USAGE, error)
    }

    /// The status the process ends with.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }
}

impl<E: HasErrno + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Status::from_errno(error.errno()), error)
    }
}

/// The error and its sources on one line, whatever they contain.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = with_sources(&*self.error);
        write!(f, "{}", escaped(&text))
    }
}

/// A write to standard output that failed.
#[derive(Debug)]
struct StdoutError(io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl Error for StdoutError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl HasErrno for StdoutError {
    fn errno(&self) -> Errno {
        self.0.errno()
    }
}

/// Runs a tool: parses the arguments, sets logging up, does the work, reports what went wrong.
///
/// Wrong usage ends with 64, a panic with 70 and its place on standard error, an error with its
/// errno ([`Status::from_errno`]) after one line on standard error.
#[must_use]
pub fn main<T: Tool>() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    run_with::<T>(&arguments).into()
}

pub(crate) fn run_with<T: Tool>(arguments: &[&OsStr]) -> Status {
    report_panics(T::NAME);
    let called = arguments.first().and_then(|it| Path::new(it).file_name());
    let plugin = called
        .and_then(OsStr::to_str)
        .and_then(|it| it.strip_prefix("kubectl-"));
    IS_PLUGIN.store(plugin == Some(T::NAME), Ordering::Relaxed);
    panic::catch_unwind(|| run::<T>(arguments)).unwrap_or(Status::BUG)
}

/// What is wrong with an argument or a variable of other bytes.
pub(crate) const NOT_TEXT: &str = "it is not UTF-8 text";

/// Whether kubectl called us. The standard library does not know the arguments where `main` is
/// ours.
static IS_PLUGIN: AtomicBool = AtomicBool::new(false);

/// What people type before the name of a plugin.
const PLUGIN_OF: &str = "kubectl ";

/// What people type to call a tool: its name, or `kubectl NAME` where the binary was called as
/// kubectl's plugin.
#[must_use]
pub fn program<T: Tool>() -> Cow<'static, str> {
    if IS_PLUGIN.load(Ordering::Relaxed) {
        format!("{PLUGIN_OF}{}", T::NAME).into()
    } else {
        T::NAME.into()
    }
}

/// Writes a result to standard output, at once.
///
/// # Errors
/// The write's own; `EPIPE` when the reader has gone, which the runner turns into status 32 without
/// a word.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| StdoutError(error).into())
}

/// Those of a list that can be read. Each of the others is told, and the status is of the last one
/// of them.
pub fn readable<T, E: HasErrno>(all: Vec<Result<T, E>>, tell: impl Fn(&E)) -> (Vec<T>, Status) {
    let mut status = Status::DONE;
    let mut read = Vec::new();
    for one in all {
        match one {
            Ok(one) => read.push(one),
            Err(error) => {
                status = Status::from_errno(error.errno());
                tell(&error);
            }
        }
    }
    (read, status)
}

fn run<T: Tool>(arguments: &[&OsStr]) -> Status {
    let program = program::<T>();
    let called = [OsStr::new(&*program)].into_iter();
    let words: Vec<_> = called.chain(arguments.iter().skip(1).copied()).collect();
    let tool = match variables::parse::<T>(&words) {
        Ok(tool) => tool,
        Err(wrong) => return explain::<T>(&wrong, &words),
    };
    let done = log::init(T::LOG, tool.log_args())
        .map_err(Failure::usage)
        .and_then(|()| tool.run());
    done.unwrap_or_else(|failure| report(T::NAME, &failure))
}

/// Prints help and version on standard output, and what was wrong on standard error.
fn explain<T: Tool>(wrong: &Wrong, arguments: &[&OsStr]) -> Status {
    let text = match wrong.error.kind() {
        ErrorKind::DisplayHelp => help::requested::<T>(arguments),
        ErrorKind::DisplayVersion => wrong.error.to_string(),
        _ => {
            let failure = Failure::usage(usage::explained::<T>(wrong, arguments));
            return report(T::NAME, &failure);
        }
    };
    print(&text).map_or_else(|failure| report(T::NAME, &failure), |()| Status::DONE)
}

fn report(name: &str, failure: &Failure) -> Status {
    let reader_gone = failure
        .error
        .downcast_ref::<StdoutError>()
        .is_some_and(|e| e.errno() == Errno::EPIPE);
    if !reader_gone {
        complain(&format!("{name}: {failure}\n"));
    }
    failure.status
}

/// In one write, so that the lines of processes that share a standard error do not mix. Where it is
/// closed, nobody can be told.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn report_panics(name: &'static str) {
    panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a message");
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        complain(&format!(
            "{name}: bug: {message:?} at {place}; please report it\n"
        ));
    }));
}
