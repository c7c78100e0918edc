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
//! CMD is not our child but a guard's, a small process forked first. The guard is a child subreaper (`PR_SET_CHILD_SUBREAPER(2const)`), so
//! that all that CMD starts stays below it; it ends that tree when it is asked to, when the deadline is near, and when the client (this
//! process) dies, and says so only when the tree is gone. A client that is stopped changes nothing about that.
//!
//! Should the guard be killed, CMD dies with it (`PR_SET_PDEATHSIG(2const)`), and the client, a
//! subreaper too, ends the rest. A guard that somebody stops is continued by the client at once. One
//! that cannot be, since it is traced for example, is killed by the client when it is late, and so
//! is any that has not done its work by the deadline: the client then ends the tree itself. The
//! guard has a name and arguments of its own (`coord-guard of PID`), so that `pkill -9 -f` with the
//! client's command line leaves it.
//!
//! Ending is the plan's signal, once, to each process of the tree, and KILL after the grace period. With [`KillMode::Main`] only CMD is asked.
//! A process that is started after the signal, such as the clean-up in a shell's trap, is not sent it as long as its parent lives. What is
//! below another guard is left to that guard's client, which passes the signal on: a command below several wrappers is asked once.
//!
//! KILL goes to CMD's process group first, then to whom was found when the tree was asked, then, as
//! long as somebody is left, to the guard's own children and to whom a walk down `/proc` finds. It
//! begins one margin before a deadline, and earlier when asking took long: eight times as long
//! before as that took. While it ends a tree the guard has a real-time priority (`sched(7)`, the
//! lowest) where it may: with `CAP_SYS_NICE`, or within `RLIMIT_RTPRIO`.
//!
//! How large a tree may be depends on the machine. Measured as root with sessions of their own that
//! ignore the signal, on two processors: 2,000 of them, half a second before the deadline (a quarter
//! of a lease of 2 s), were gone 0.1 s before it when nothing else ran, and just by it beside three
//! busy loops; 8,000, 3.75 s before it (a lease of 15 s), 2.3 s before it when nothing else ran,
//! 2.0 s beside three busy loops and 1.9 s beside thirty.
//!
//! Every signal that can be caught is passed on to CMD, real-time ones too. A TERM or an INT, or the plan's own signal, asks CMD to end, and
//! the grace period counts from then; when CMD has exited already, these and HUP and QUIT end what it left behind.
//!
//! CMD has its own process group, the environment, the standard streams, the working directory, the signal mask and the limits of the client.
//! What was ignored when the client was started is ignored in CMD. SIGCHLD is set to its default, as `timeout(1)` does, for it and for the
//! client: a parent that ignores it would take the statuses away.
//!
//! Nobody wakes while nothing happens, and no thread is needed: [`Running::wait_until`] waits for something else beside CMD, and
//! [`Running::step`] is for a loop of one's own.
//!
//! # Limitations
//!
//! When client and guard are killed in the same instant, CMD dies and what it had started stays: nobody is left to end it. Where a PID
//! namespace may be made, `unshare --pid --fork --mount-proc --kill-child` as CMD takes it all along.
//!
//! A process that this user may not signal, as below `sudo`, is waited for. `/proc` is needed to find processes, and must be that of our PID
//! namespace. The value that `sigqueue(3)` sends with a signal is not passed on, nor are the two or three real-time signals that the C
//! library keeps for itself. The client should have no children of its own: when the guard was killed, all that is below the client is ended.
//!
//! Where a filter refuses `timerfd_create(2)`, the guard looks at the clock once a second while there is a deadline. Where it refuses pidfds,
//! processes are signalled by their IDs. Other calls that are refused are errors that name them, before CMD starts.

mod alarm;
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
