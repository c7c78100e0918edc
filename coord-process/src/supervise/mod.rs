//! Running another command so that it cannot outlive what it was run under.
//!
//! ```no_run
//! use coord_core::Status;
//! use coord_process::supervise::{Guard, Plan, Reason};
//!
//! # fn main() -> Result<(), coord_process::supervise::Error> {
//! // First of all, before the process has threads:
//! let guard = Guard::start(Plan::new(["sh", "-c", "work"]))?;
//! // ... wait for the lock ...
//! let mut running = guard.spawn([("LOCK_TOKEN", "7")])?;
//! let ender = running.ender();
//! std::thread::spawn(move || ender.end(Reason::new("the lock was lost", Status::LOST)));
//! let outcome = running.wait()?;
//! // ... give the lock back; signals do not end this process until `running` is dropped ...
//! std::process::exit(outcome.status().code().into());
//! # }
//! ```
//!
//! CMD is not our child but a guard's, a small process forked first. The guard is a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`), so
//! that all that CMD starts stays below it; it ends that tree when it is asked to, when the deadline is near, and when the client (this
//! process) dies, and says so only when the tree is gone. A client that is stopped changes nothing about that.
//!
//! Should the guard be killed, CMD dies with it (`PR_SET_PDEATHSIG(2const)`), and the client, a subreaper too, ends the rest. A guard that
//! somebody stops is continued by the client. When both are killed in the same instant, CMD dies and what it had started stays: nobody is
//! left to end it. The client should have no children of its own: when the guard was killed, all that is below the client is ended.
//!
//! Ending is the plan's signal, once, to each process of the tree, and KILL after the grace period. A process that is started after the
//! signal, such as the clean-up in a shell's trap, is not sent it as long as its parent lives. A process that this user may not signal, as
//! below `sudo`, is waited for. `/proc` is needed to find them.
//!
//! CMD has its own process group, the environment, the standard streams, the working directory and the signal mask of the client. SIGCHLD
//! is set to its default, as `timeout(1)` does, for it and for the client: a parent that ignores it would take the statuses away.

mod alarm;
mod descriptors;
mod error;
mod guard;
mod hunt;
mod outcome;
mod plan;
mod reap;
mod running;
mod signals;
mod spawn;
mod terminal;
mod title;
mod tree;
mod wire;

pub use coord_core::boottime;
pub use error::Error;
pub use guard::{Ender, Guard};
pub use outcome::{End, Exit, Outcome, Reason};
pub use plan::{InvalidRewrite, KillMode, Orphans, Plan, Rewrite};
pub use running::{Condition, Running};
