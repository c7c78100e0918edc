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
//! # Guarantees
//!
//! CMD is not our child but the child of a guard, a small process that we fork first. The guard is
//! a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`), so everything that CMD starts stays below
//! it. It ends that tree when we ask it to, when the deadline is near, and when the client (this
//! process) dies. It reports the end only when the tree is gone. All this also works while the
//! client is stopped.
//!
//! If the guard is killed, CMD dies with it (`PR_SET_PDEATHSIG(2const)`). The client is a subreaper
//! too and ends the rest. If somebody stops the guard, the client continues it at once. If the
//! guard cannot be continued, for example because it is traced, the client kills it when it is
//! late. The client also kills a guard that has not finished by the deadline, and then ends the
//! tree itself. The guard has its own name and arguments (`coord-guard of PID`), so `pkill -9 -f`
//! with the client's command line does not hit it.
//!
//! To end the tree, the guard sends the plan's signal once to each process of it, and KILL after
//! the grace period. With [`KillMode::Main`] it sends the signal only to CMD. A process that starts
//! after the signal, such as the clean-up in a shell's trap, does not receive it as long as its
//! parent is alive. Processes below another guard are left to that guard's client, which passes the
//! signal on. So a command below several wrappers receives the signal once.
//!
//! KILL goes first to CMD's process group, then to the processes that were found when the tree was
//! asked. After that, as long as somebody is left, it goes to the guard's own children and to
//! processes found by a walk down `/proc`. It begins one margin before a deadline, or earlier if
//! asking took long: eight times as long before as the asking took. While it ends a tree, the guard
//! runs with the lowest real-time priority (`sched(7)`) if it may: with `CAP_SYS_NICE`, or within
//! `RLIMIT_RTPRIO`.
//!
//! The largest possible tree depends on the machine. We measured as root on two processors, with
//! processes in sessions of their own that ignore the signal. The table says how long before the
//! deadline all of them had ended:
//!
//! | processes | asked before the deadline | idle machine | 3 busy loops | 30 busy loops |
//! |---|---|---|---|---|
//! | 2,000 | 0.5 s, a quarter of a 2 s lease | 0.1 s | just in time | |
//! | 8,000 | 3.75 s, a quarter of a 15 s lease | 2.3 s | 2.0 s | 1.9 s |
//!
//! Every signal that can be caught is passed on to CMD, real-time signals too. TERM, INT and the
//! plan's own signal ask CMD to end, and the grace period counts from then. If CMD has already
//! exited, these signals and HUP and QUIT end what it left behind.
//!
//! CMD has its own process group. It inherits the client's environment, standard streams, working
//! directory, signal mask and limits. Signals that were ignored when the client started are ignored
//! in CMD. SIGCHLD is set to its default for CMD and the client, as `timeout(1)` does: if a parent
//! ignored it, the exit statuses would be lost.
//!
//! No process wakes while nothing happens, and no thread is needed: [`Running::wait_until`] waits
//! for something else beside CMD, and [`Running::step`] fits into the caller's own loop.
//!
//! # Limitations
//!
//! If client and guard are killed in the same instant, CMD dies but the processes that it started
//! stay, because nobody is left to end them. If you may create a PID namespace, run
//! `unshare --pid --fork --mount-proc --kill-child` as CMD: then all of them are killed too.
//!
//! A process that this user may not signal, such as one below `sudo`, is waited for. `/proc` is
//! needed to find processes, and must belong to our PID namespace. The value that `sigqueue(3)`
//! sends with a signal is not passed on, nor are the two or three real-time signals that the C
//! library keeps for itself. The client should have no children of its own: if the guard is killed,
//! everything below the client is ended.
//!
//! If a filter refuses `timerfd_create(2)`, the guard checks the clock once a second while there is
//! a deadline. If it refuses pidfds, processes are signalled by their IDs. Other refused calls are
//! errors that name the call, before CMD starts.

mod alarm;
#[cfg(test)]
pub(crate) mod alone;
#[cfg(feature = "cli")]
mod args;
mod descriptors;
mod error;
mod guard;
mod hook;
mod hunt;
mod outcome;
mod plan;
mod priority;
mod reap;
pub mod reexec;
mod running;
mod signals;
mod spawn;
mod terminal;
mod title;
mod tree;
mod wire;

#[cfg(feature = "cli")]
pub use args::StopArgs;
pub use coord_core::boottime;
pub use error::Error;
pub use guard::{Ender, Guard};
pub use hook::{Hook, HookState};
pub use outcome::{End, Exit, Outcome, Reason};
pub use plan::{InvalidRewrite, KillMode, Orphans, Plan, Rewrite};
pub use reap::strangers as reap_strangers;
pub use running::{Condition, Running};
