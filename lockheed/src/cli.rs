//! The command line.

mod admin;
mod backend;
mod check;
mod events;
mod help;
mod hold;
#[cfg(target_os = "linux")]
mod hooks;
#[cfg(target_os = "linux")]
mod lock_args;
#[cfg(target_os = "linux")]
mod metrics;
#[cfg(target_os = "linux")]
mod observers;
mod report;
#[cfg(target_os = "linux")]
mod restart;
#[cfg(target_os = "linux")]
mod run;
mod show;
mod store;
mod times;
#[cfg(target_os = "linux")]
mod tokens;

use std::thread;

use clap::{Args, Parser, Subcommand};
use coord_core::{
    Errno, Status,
    cli::{Failure, Help, Tool, help::heading},
    log::{Defaults, LogArgs},
    signal,
};
use lockheed::LockName;
use nix::sys::signal::SigSet;

use backend::StoreArg;

/// Named locks with leases: in a Kubernetes namespace, or in a directory of this machine
///
/// Whoever acquires a lock holds it with a lease, which expires unless it is renewed. So the lock
/// becomes free even if its holder crashes or is cut off.
#[derive(Parser)]
#[command(name = "lockheed", version)]
pub(crate) struct LockheedCli {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // The options of the commands that are not run need not be made.
enum Command {
    /// Run a command while holding a lock, or several
    ///
    /// The command starts once the lock is held, and finds its fencing token in LOCKHEED_TOKEN. The
    /// lease is renewed while it runs. If the lease cannot be renewed, or the lock is lost, the
    /// command and all that it started are ended before the lease is over (exit status 122). The
    /// lock is released when all of them have ended.
    #[cfg(target_os = "linux")]
    #[command(
        override_usage = "lockheed run [OPTIONS] <NAME>... -- <CMD>...\n       lockheed run [OPTIONS] --key <TEXT> -- <CMD>..."
    )]
    Run(run::Run),
    /// Acquire a lock and leave it held, for scripts
    ///
    /// It prints the holder's ID, for renew and release. With --id, it prints the fencing token.
    Acquire(hold::Acquire),
    /// Renew a lease that was acquired before
    #[command(
        override_usage = "lockheed renew [OPTIONS] --id <ID> <NAME>\n       lockheed renew [OPTIONS] --id <ID> --key <TEXT>"
    )]
    Renew(hold::Renew),
    /// Release a lease; succeed if there is none
    #[command(
        override_usage = "lockheed release [OPTIONS] --id <ID> <NAME>\n       lockheed release [OPTIONS] --id <ID> --key <TEXT>"
    )]
    Release(hold::Release),
    /// List the locks of the namespace or directory
    List(show::List),
    /// Show one lock in full
    Inspect(show::Inspect),
    /// End somebody's lease, also an expired one, and say whose it was
    Break(admin::Break),
    /// Remove a lock that nobody holds
    Delete(admin::Delete),
    /// Check that this user has the required permissions, else print a Role that gives them
    Check(check::Check),
}

impl Tool for LockheedCli {
    const NAME: &'static str = "lockheed";
    const LOG: Defaults = Defaults {
        env_prefix: "LOCKHEED",
        level: log::LevelFilter::Info,
        crates: &["lockheed"],
        silent_below_debug: &["kube_client"],
    };
    const HELP: &'static [Help] = help::HELP;

    fn log_args(&self) -> LogArgs {
        self.log
    }

    fn run(self) -> Result<Status, Failure> {
        let store = self.store;
        store.check()?;
        match &self.command {
            // These two hold locks that must be released, and handle signals themselves.
            #[cfg(target_os = "linux")]
            Command::Run(_) => {}
            Command::Acquire(_) => {}
            _ => signal::end_on_termination(),
        }
        match self.command {
            #[cfg(target_os = "linux")]
            Command::Run(run) => run.run(&store),
            Command::Acquire(acquire) => acquire.run(&store),
            Command::Renew(renew) => renew.run(&store),
            Command::Release(release) => release.run(&store),
            Command::List(list) => list.run(&store),
            Command::Inspect(inspect) => inspect.run(&store),
            Command::Break(arguments) => arguments.run(&store),
            Command::Delete(delete) => delete.run(&store),
            Command::Check(check) => check.run(&store),
        }
    }
}

// Which lock a command is about. (clap would use a doc comment as help.)
#[derive(Args)]
#[group(required = true, multiple = false)]
struct LockArg {
    /// Name of the lock
    name: Option<String>,
    /// Any text instead of NAME, such as a branch or a URL; the lock's name is made from it
    #[arg(long, value_name = "TEXT", help_heading = heading::LOCK)]
    key: Option<String>,
}

impl LockArg {
    /// Not an argument parser's error: a bad name is 22.
    fn name(&self) -> Result<LockName, Failure> {
        Ok(match &self.key {
            Some(key) => LockName::from_key(key)?,
            None => self.name.as_deref().unwrap_or_default().parse()?,
        })
    }
}

/// An ID that no other holder has, and that says where it is: this machine's name, which is the
/// Pod's in a Pod, and a random part.
fn unique_id() -> Result<String, Failure> {
    Ok(with_random_part(&host()?))
}

fn with_random_part(id: &str) -> String {
    let random = getrandom::u64().unwrap_or_else(|_| {
        let now = coord_core::boottime().as_nanos();
        u64::from(std::process::id()) << 32 ^ u64::try_from(now).unwrap_or(0)
    });
    format!("{id}-{random:016x}")
}

/// A thread that no signal is delivered to: they are for the one that waits.
fn quiet_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let work = move || {
        let _ = SigSet::all().thread_block();
        work();
    };
    let thread = thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(work).map(drop);
    started.map_err(|error| {
        let text = format!("cannot start a thread: {error}");
        Failure::new(Status::FAILED, text)
    })
}

fn host() -> Result<String, Failure> {
    let name = nix::unistd::gethostname().map_err(std::io::Error::from)?;
    name.into_string().map_err(|name| {
        Failure::new(
            Status::from_errno(Errno::EINVAL),
            format!("host name {name:?} is not UTF-8 text; give an --id"),
        )
    })
}

#[cfg(all(test, feature = "kube"))]
mod tests {
    use super::*;

    #[test]
    fn help_is_complete_and_the_pages_made_from_it_are_current() {
        manual::check::<LockheedCli>(env!("CARGO_MANIFEST_DIR"));
    }
}
