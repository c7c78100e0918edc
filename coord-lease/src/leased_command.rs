//! A command under a lease: it has ended by the time the lease does.

use std::{error::Error, ffi::OsString, hint::black_box};

use coord_core::{
    BootInstant, Errno, HasErrno, Status,
    cli::Failure,
    timer::{Pollable, Timer},
};
use coord_process::supervise::{self, End, Ender, Guard, Outcome, Reason, Running};

use crate::{LeaseWatch, Signals, WaitReport};

/// How a command under a lease has ended.
#[derive(Debug)]
pub struct LeasedCommand {
    /// While this exists, a signal does not end this process, so that the lock can be released.
    pub running: Option<Running>,
    /// The exit status for this process.
    pub status: Result<Status, Failure>,
    /// The command was ended because the lock was lost.
    pub is_lost: bool,
}

/// More than is needed while a command runs; it is never touched. If the heap cannot grow, glibc
/// allocates 1 MiB elsewhere.
const RESERVE: usize = 2 << 20;

/// The reason for ending a command whose lock is lost.
const LOST: Reason = Reason::new("the lock was lost", Status::LOST);

impl LeasedCommand {
    /// Starts the guard's command with these variables added to its environment, and waits until
    /// all its processes are gone. Meanwhile, passes each new deadline to the guard. Ends the
    /// command when the lease is lost, or on a signal that came before it could be forwarded. Needs
    /// no thread.
    pub async fn run<K: Into<OsString>, V: Into<OsString>>(
        guard: Guard,
        lease: &LeaseWatch,
        vars: impl IntoIterator<Item = (K, V)>,
        signals: &Signals,
    ) -> Self {
        let deadline = lease.deadline();
        // Without this much memory the command does not start, so there is enough to supervise it
        // later.
        drop(black_box(Vec::<u8>::with_capacity(RESERVE)));
        let started = guard
            .set_deadline(deadline.map(BootInstant::since_boot))
            .and_then(|()| guard.spawn(vars));
        match started {
            Ok(running) => until_over(running, lease, deadline, signals).await,
            Err(error) => Self {
                running: None,
                status: Err(not_started(error)),
                is_lost: false,
            },
        }
    }

    /// Whether the command is to run again once the lock is acquired again: the lock was lost, and
    /// nothing has asked the command or this process to stop. Call this with signals blocked.
    ///
    /// # Errors
    /// Otherwise, the exit status for this process.
    pub fn runs_again(mut self) -> Result<(), Result<Status, Failure>> {
        match &mut self.running {
            Some(running) if self.is_lost && !running.is_stopping() => {
                let ended_by = running.next_unsent().map(Status::from_signal);
                ended_by.map_or(Ok(()), |status| Err(Ok(status)))
            }
            _ => Err(self.status),
        }
    }
}

/// A failure of the tool itself: status 125.
pub fn failed(error: impl Error + Send + Sync + 'static) -> Failure {
    Failure::new(Status::FAILED, error)
}

/// Replaces the status of a failure by 125 if the errno would look like the command's own status.
#[must_use]
pub fn as_wrapper(failure: Failure) -> Failure {
    let of_wrapper = [
        Status::USAGE,
        Status::WAIT_TIMED_OUT,
        Status::CANNOT_EXECUTE,
        Status::NOT_FOUND,
    ];
    if of_wrapper.contains(&failure.status()) {
        failure
    } else {
        Failure::new(Status::FAILED, failure.to_string())
    }
}

/// The command could not be started, or is no longer supervised: the status is
/// [`supervise::Error::status`].
#[must_use]
pub fn not_started(error: supervise::Error) -> Failure {
    Failure::new(error.status(), error)
}

/// The exit status when the lock was not acquired: the signal that ended the wait, 124 when the
/// lock was busy and the wait is over, otherwise a failure of the tool itself. The errno does not
/// tell, because a request that timed out has the same one as a wait that ran out.
///
/// # Errors
/// Everything but the signal.
pub fn not_acquired(
    error: impl HasErrno + Send + Sync + 'static,
    busy: bool,
    signals: &Signals,
    report: &WaitReport,
) -> Result<Status, Failure> {
    match (error.errno(), signals.status()) {
        (Errno::ECANCELED, Some(status)) => {
            report.cancelled();
            Ok(status)
        }
        _ if busy => Err(Failure::new(Status::WAIT_TIMED_OUT, error)),
        _ => Err(failed(error)),
    }
}

async fn until_over(
    mut running: Running,
    lease: &LeaseWatch,
    deadline: Option<BootInstant>,
    signals: &Signals,
) -> LeasedCommand {
    let ender = running.ender();
    let outcome = {
        let over = over(&mut running);
        tokio::pin!(over);
        tokio::select! {
            done = &mut over => done,
            () = follow(lease, &ender, deadline) => over.await,
            () = end_by_signal(signals, &ender) => over.await,
        }
    };
    // A command that cannot be waited for is ended now, before its lock is released.
    let running = outcome.is_ok().then_some(running);
    let is_lost = |outcome: &Outcome| [End::Deadline, End::Asked(LOST)].contains(&outcome.end);
    LeasedCommand {
        running,
        is_lost: outcome.as_ref().is_ok_and(is_lost),
        status: outcome.map(|outcome| outcome.status()),
    }
}

/// Supervises the command until it has ended.
async fn over(running: &mut Running) -> Result<Outcome, Failure> {
    let [signals, reports] = running.fds().map(|fd| {
        let copy = fd.try_clone_to_owned();
        copy.and_then(Pollable::register).map_err(failed)
    });
    let (signals, reports) = (signals?, reports?);
    let mut timer = Timer::new().map_err(failed)?;
    loop {
        if let Some(outcome) = running.step().map_err(not_started)? {
            return Ok(outcome);
        }
        let wake = running
            .timeout()
            .map(|timeout| BootInstant::now() + timeout);
        // All that was readable has been read, so only later events wake this again.
        tokio::select! {
            ready = signals.readable() => ready.map_err(failed)?.clear_ready(),
            ready = reports.readable() => ready.map_err(failed)?.clear_ready(),
            () = timer.until(wake) => {}
        }
    }
}

/// Passes each new deadline on. Returns when the lease is lost.
async fn follow(lease: &LeaseWatch, ender: &Ender, mut deadline: Option<BootInstant>) {
    while let Ok(later) = lease.deadline_after(deadline).await {
        deadline = later;
        if let Err(error) = ender.set_deadline(later.map(BootInstant::since_boot)) {
            log::warn!("cannot tell the guard process that the lease was renewed: {error}");
        }
    }
    ender.end(LOST);
}

/// Returns when a signal came before it could be forwarded.
async fn end_by_signal(signals: &Signals, ender: &Ender) {
    signals.clone().came().await;
    if let Some(status) = signals.status() {
        ender.end(Reason::new("a signal", status));
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nix::{errno::Errno, libc::SIGTERM};

    use super::*;

    #[test]
    fn who_did_not_get_the_lock_ends_by_the_signal_that_came_or_says_why() {
        let (none, term) = (Signals::default(), Signals::of(SIGTERM));
        let report = WaitReport::start("tool", ["x"], None, true);
        let ends = |errno, busy, signals| {
            let done = not_acquired(io::Error::from(errno), busy, signals, &report);
            done.map_err(|failure| failure.status())
        };
        let (cancelled, late) = (Errno::ECANCELED, Errno::ETIMEDOUT);
        assert_eq!(
            ends(cancelled, false, &term),
            Ok(Status::from_signal(SIGTERM))
        );
        assert_eq!(ends(cancelled, false, &none), Err(Status::FAILED));
        assert_eq!(ends(late, true, &none), Err(Status::WAIT_TIMED_OUT));
        assert_eq!(ends(late, false, &none), Err(Status::FAILED));
        assert_eq!(ends(late, true, &term), Err(Status::WAIT_TIMED_OUT));
    }
}
