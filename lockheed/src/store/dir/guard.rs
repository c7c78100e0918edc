//! The guard, which lets one process write at a time.

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use coord_core::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{
    failed,
    files::{Files, is_at},
    wait::KernelWait,
};
use crate::store::{StoreError, StoreErrorKind};

/// How long to wait for another writer. A writer takes as long as the disk does, unless it is
/// stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for another writer before each look, if not in the kernel.
const PAUSE: Duration = Duration::from_millis(2);

const GUARD: &str = ".guard";

/// The right to write: nobody else writes while this exists.
pub(super) struct Guard(Flock<File>);

/// The last wait for the guard, which may have been left behind.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<Arc<KernelWait<Flock<File>>>>>);

impl Files {
    /// Keeps other writers out. They are served in order of arrival, so that a holder is not too
    /// late for its lease because many others write.
    pub(super) fn guard(&self) -> Result<Guard, StoreError> {
        let path = self.path(GUARD);
        let until = Instant::now() + PATIENCE;
        loop {
            let file = self.open_shared(GUARD)?;
            let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(guard) => Some(guard),
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => self.wait_in_line(file, until),
                Err((_, error)) => return Err(failed("lock", &path, error.into())),
            };
            match locked {
                Some(guard) if is_at(&guard, &path) => return Ok(Guard(guard)),
                // Somebody has removed the file, and others lock a new one.
                Some(_) => continue,
                None if Instant::now() < until => {}
                None => {
                    let text = format!(
                        "another process has held {path:?} for {PATIENCE:?}: it may be stopped"
                    );
                    let kind = StoreErrorKind::Unavailable;
                    return Err(StoreError::new(kind, Errno::ETIMEDOUT, text));
                }
            }
        }
    }

    /// Waits in the kernel. Without a thread for that, or while one is left from before, it only
    /// pauses.
    fn wait_in_line(&self, file: File, until: Instant) -> Option<Flock<File>> {
        let mut in_line = self.line.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = in_line.as_ref().is_some_and(|wait| wait.is_waiting());
        let begun = (!is_left).then(|| KernelWait::begin(move || lock_in_order(file)));
        let Some(Ok(wait)) = begun else {
            thread::sleep(PAUSE);
            return None;
        };
        let left = until.saturating_duration_since(Instant::now());
        let granted = wait.granted_within(left);
        if granted.is_none() && !wait.is_waiting() {
            // The kernel could not wait.
            thread::sleep(PAUSE);
        }
        *in_line = Some(wait);
        granted
    }
}

impl Guard {
    /// Checks that the guard's file still exists. If somebody removed it, another process may be
    /// writing.
    pub(super) fn check(&self, files: &Files) -> Result<(), StoreError> {
        let path = files.path(GUARD);
        if is_at(&self.0, &path) {
            return Ok(());
        }
        let text = format!("{path:?} was removed during a write, which was not done");
        let kind = StoreErrorKind::Unavailable;
        Err(StoreError::new(kind, Errno::ESTALE, text))
    }
}

/// Waits for as long as it takes.
fn lock_in_order(mut file: File) -> Option<Flock<File>> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(locked) => return Some(locked),
            Err((unlocked, nix::errno::Errno::EINTR)) => file = unlocked,
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt, sync::mpsc};

    use testkit::eventually;

    use super::*;

    fn directory() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().to_owned()).unwrap();
        (dir, files)
    }

    /// How many wait for the guard in the kernel, `proc_locks(5)`.
    fn in_line(files: &Files) -> usize {
        let inode = fs::metadata(files.path(GUARD)).unwrap().ino();
        let (waits, of_guard) = ("-> FLOCK", format!(":{inode} "));
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let lines = locks.lines();
        lines
            .filter(|line| line.contains(waits) && line.contains(&of_guard))
            .count()
    }

    /// If each looked again and again, a hundred that join a queue would keep its holder from
    /// renewing.
    #[test]
    fn writers_wait_in_the_kernel_and_take_turns_in_order_of_arrival() {
        let (dir, files) = directory();
        let guard = files.guard().unwrap();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for writer in 0..5 {
                let (tell, dir) = (tell.clone(), dir.path().to_owned());
                scope.spawn(move || {
                    let guard = Files::open(dir).unwrap().guard().unwrap();
                    tell.send(writer).unwrap();
                    drop(guard);
                });
                eventually("it waits", || in_line(&files) == writer + 1);
            }
            drop(guard);
        });
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_wait_that_was_left_behind_keeps_nobody_out() {
        let (_dir, files) = directory();
        let guard = files.guard().unwrap();
        let leave = |limit| {
            let file = files.open_shared(GUARD).unwrap();
            files.wait_in_line(file, Instant::now() + limit)
        };
        assert!(leave(Duration::from_millis(20)).is_none());
        // No second thread waits beside it.
        assert!(leave(Duration::from_secs(60)).is_none());
        eventually("it waits", || in_line(&files) == 1);
        drop(guard);
        drop(files.guard().unwrap());
        eventually("nobody waits", || in_line(&files) == 0);
        drop(files.guard().unwrap());
    }
}
