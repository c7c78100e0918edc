//! The guard, which lets one process write at a time.

use std::{
    fs::{self, File},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use coord_core::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{
    failed,
    files::{FileId, Files, id_of, is_at},
    wait::KernelWait,
};
use crate::store::{StoreError, StoreErrorKind};

/// How long to wait for another writer. A writer takes as long as the disk does, unless it is
/// stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a waiter looks whether the file is still there.
const LOOK: Duration = Duration::from_millis(250);

/// How long to wait before each try, if not in the kernel.
const PAUSE: Duration = Duration::from_millis(2);

const GUARD: &str = ".guard";

/// The right to write: nobody else writes while this exists.
pub(super) struct Guard(Flock<File>);

/// A wait for the right to write.
type GuardWait = KernelWait<Flock<File>>;

/// The last wait in the kernel, for the file with this identity. It may have been left behind.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<(FileId, Arc<GuardWait>)>>);

impl Files {
    /// Keeps other writers out. If there is one, this waits in the kernel, which serves those who
    /// wait one after the other. So a holder renews its lease in time although many others write.
    pub(super) fn guard(&self) -> Result<Guard, StoreError> {
        let path = self.path(GUARD);
        let until = Instant::now() + PATIENCE;
        loop {
            let is_late = Instant::now() >= until;
            let file = self.open_shared(GUARD)?;
            let locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(guard) => Some(guard),
                Err((_, nix::errno::Errno::EWOULDBLOCK)) if is_late => {
                    let text = format!(
                        "another process has held {path:?} for {PATIENCE:?}: it may be stopped"
                    );
                    let kind = StoreErrorKind::Unavailable;
                    return Err(StoreError::new(kind, Errno::ETIMEDOUT, text));
                }
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => self.wait_in_line(file, until),
                Err((_, error)) => return Err(failed("lock", &path, error.into())),
            };
            // If somebody has removed the file, others lock a new one.
            if let Some(guard) = locked.filter(|guard| is_at(guard, &path)) {
                return Ok(Guard(guard));
            }
        }
    }

    /// Waits in the kernel for as long as the file is there, in the place of an earlier wait if
    /// that was left behind. Without a thread for that, it only pauses.
    fn wait_in_line(&self, file: File, until: Instant) -> Option<Flock<File>> {
        let id = id_of(&file.metadata().ok()?);
        let mut line = self.line.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = line
            .take()
            .filter(|(of, wait)| *of == id && wait.is_wanted_again());
        let wait = match left {
            Some((_, wait)) => Ok(wait),
            None => GuardWait::begin(move || lock_in_line(file)),
        };
        let Ok(wait) = wait else {
            thread::sleep(PAUSE);
            return None;
        };
        let path = self.path(GUARD);
        let is_there = || fs::symlink_metadata(&path).is_ok_and(|file| id_of(&file) == id);
        while wait.is_waiting() && is_there() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            wait.pause(left.min(LOOK));
        }
        let granted = wait.give_up();
        if wait.is_waiting() {
            *line = Some((id, wait));
        } else if granted.is_none() {
            // The kernel could not wait.
            thread::sleep(PAUSE);
        }
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
fn lock_in_line(mut file: File) -> Option<Flock<File>> {
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

    /// Reads twice, since a long list is not read at one moment.
    fn wait_in_line(files: &Files, writers: usize) {
        eventually("they wait", || (0..2).all(|_| in_line(files) == writers));
    }

    /// If each tried again and again, three hundred that join a queue would keep its holder from
    /// renewing.
    #[test]
    fn writers_take_turns_in_the_order_in_which_they_began_to_wait() {
        let (dir, files) = directory();
        let guard = files.guard().unwrap();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for writer in 0..3 {
                let (tell, dir) = (tell.clone(), dir.path().to_owned());
                scope.spawn(move || {
                    let guard = Files::open(dir).unwrap().guard().unwrap();
                    tell.send(writer).unwrap();
                    drop(guard);
                });
                wait_in_line(&files, writer + 1);
            }
            drop(guard);
        });
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_wait_that_was_left_behind_is_gone_on_with_and_keeps_nobody_out() {
        let (_dir, files) = directory();
        let guard = files.guard().unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        for _ in 0..2 {
            let file = files.open_shared(GUARD).unwrap();
            assert!(files.wait_in_line(file, soon()).is_none());
            wait_in_line(&files, 1);
        }
        drop(guard);
        drop(files.guard().unwrap());
        wait_in_line(&files, 0);
        drop(files.guard().unwrap());
    }

    /// Somebody removes the file that a stopped process has locked.
    #[test]
    fn who_waits_for_a_file_that_is_removed_takes_the_new_one() {
        let (dir, files) = directory();
        let stopped = files.guard().unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let files = Files::open(dir.path().to_owned()).unwrap();
                files.guard().map(drop)
            });
            wait_in_line(&files, 1);
            fs::remove_file(files.path(GUARD)).unwrap();
            writer.join().unwrap().unwrap();
        });
        drop(stopped);
    }
}
