//! The queue of waiters for a lock, which the kernel keeps.
//!
//! Each lock has a byte of `.waiting`. The waiter that has locked it (`F_OFD_SETLK`,
//! `fcntl_locking(2)`) has the turn: it sees all changes of the lock, takes the lock when it is
//! free, and keeps the turn until it has released it. The others wait in the kernel for that byte,
//! in order of arrival. The kernel removes a process that is killed or stopped from the queue.
//!
//! Only order and load depend on the queue. If the waiter with the turn does nothing, others pass
//! it after a while through a queue with the next number, see [`DirWatch`](super::DirWatch).

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::{
    failed,
    files::Files,
    range::{Kind, range},
    wait::KernelWait,
};
use crate::{LockName, store::StoreError};

const WAITING: &str = ".waiting";

/// How many bits of a byte's offset are the number of the queue; the rest identify the lock.
const NUMBER_BITS: u32 = 22;

/// One of a lock's queues, which follow one another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queue {
    pub(super) name: LockName,
    pub(super) number: u64,
}

/// This process's turns and places in the queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    turns: Mutex<Vec<Queue>>,
    /// Places that nobody here wants any more, but that cannot be left before their turn comes.
    parked: Mutex<BTreeMap<Queue, Arc<Place>>>,
}

/// The turn in a queue; dropping it passes it on.
#[derive(Debug)]
pub(super) struct Turn {
    queue: Queue,
    queues: Arc<Queues>,
    #[expect(dead_code, reason = "the lock is on it until it is closed")]
    file: File,
}

/// A wait for the turn, which comes with this file.
type Place = KernelWait<File>;

/// A place in a queue.
#[derive(Debug)]
pub(super) struct Waiter {
    queue: Queue,
    queues: Arc<Queues>,
    place: Arc<Place>,
}

impl Queues {
    /// Takes the turn if nobody has it or waits for it.
    pub(super) fn try_turn(
        self: &Arc<Self>,
        files: &Files,
        queue: &Queue,
    ) -> Result<Option<Turn>, StoreError> {
        let file = files.open_shared(WAITING)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&queue.byte(Kind::Write))) {
            Ok(_) => Ok(Some(self.turn(queue, file))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(failed("lock", &files.path(WAITING), error.into())),
        }
    }

    /// Joins the queue, with a thread that waits in the kernel.
    ///
    /// # Errors
    /// Those of `open(2)`; `EAGAIN` when no thread can be started.
    pub(super) fn wait(
        self: &Arc<Self>,
        files: &Files,
        queue: &Queue,
    ) -> Result<Waiter, StoreError> {
        let parked = lock(&self.parked).remove(queue);
        let place = match parked.filter(|place| place.is_wanted_again()) {
            Some(place) => place,
            None => take_place(files.open_shared(WAITING)?, queue)
                .map_err(|error| failed("wait for a lock in", files.dir(), error))?,
        };
        Ok(Waiter {
            queue: queue.clone(),
            queues: self.clone(),
            place,
        })
    }

    /// The latest queue for this lock in which this process has the turn.
    pub(super) fn turn_in(&self, name: &LockName) -> Option<u64> {
        let turns = lock(&self.turns);
        let of_lock = turns.iter().filter(|queue| queue.name == *name);
        of_lock.map(|queue| queue.number).max()
    }

    fn turn(self: &Arc<Self>, queue: &Queue, file: File) -> Turn {
        lock(&self.turns).push(queue.clone());
        Turn {
            queue: queue.clone(),
            queues: self.clone(),
            file,
        }
    }

    fn park(&self, queue: &Queue, place: &Arc<Place>) {
        let mut parked = lock(&self.parked);
        parked.retain(|_, place| place.is_waiting());
        parked.insert(queue.clone(), place.clone());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = lock(&self.queues.turns);
        if let Some(at) = turns.iter().position(|queue| *queue == self.queue) {
            turns.swap_remove(at);
        }
    }
}

impl Waiter {
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns the turn when it comes; none if it will not come.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        let file = self.place.granted().await?;
        Some(self.queues.turn(&self.queue, file))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.place.give_up());
        if self.place.is_waiting() {
            self.queues.park(&self.queue, &self.place);
        }
    }
}

fn take_place(file: File, queue: &Queue) -> io::Result<Arc<Place>> {
    let byte = queue.byte(Kind::Write);
    Place::begin(move || {
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&byte)) {
                Err(Errno::EINTR) => {}
                locked => return locked.is_ok().then_some(file),
            }
        }
    })
}

impl Queue {
    /// Whether somebody has the turn.
    pub(super) fn is_taken(&self, files: &Files) -> bool {
        let Ok(file) = files.open_to_ask(WAITING) else {
            return false;
        };
        let mut byte = self.byte(Kind::Write);
        let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut byte));
        asked.is_ok() && i32::from(byte.l_type) != libc::F_UNLCK
    }

    /// If two locks had the same byte, each would wait for the other's turns, and be passed.
    fn byte(&self, kind: Kind) -> libc::flock {
        let number = self.number & ((1 << NUMBER_BITS) - 1);
        let start = hash(self.name.as_str()) >> (NUMBER_BITS + 1) << NUMBER_BITS | number;
        range(kind, start, 1)
    }
}

/// FNV-1a, which gives the same result in every process and version.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(60);

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().to_owned()).unwrap();
        (dir, files)
    }

    fn queue(number: u64) -> Queue {
        Queue {
            name: "x".parse().unwrap(),
            number,
        }
    }

    #[tokio::test]
    async fn the_turn_goes_to_whoever_waits() {
        let (_dir, files) = files();
        let (one, other) = (Arc::new(Queues::default()), Arc::new(Queues::default()));
        let turn = one.try_turn(&files, &queue(0)).unwrap().unwrap();
        assert_eq!(
            (one.turn_in(&queue(0).name), other.turn_in(&queue(0).name)),
            (Some(0), None)
        );
        assert!(other.try_turn(&files, &queue(0)).unwrap().is_none());
        assert!(queue(0).is_taken(&files) && !queue(1).is_taken(&files));
        let mut waiter = other.wait(&files, &queue(0)).unwrap();
        drop(turn);
        let turn = timeout(WATCHDOG, waiter.turn()).await.unwrap().unwrap();
        assert_eq!(other.turn_in(&queue(0).name), Some(0));
        drop(turn);
        assert!(other.turn_in(&queue(0).name).is_none() && !queue(0).is_taken(&files));
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_passes_the_turn_on_or_is_taken_again() {
        let (_dir, files) = files();
        let queues = Arc::new(Queues::default());
        let turn = queues.try_turn(&files, &queue(0)).unwrap().unwrap();
        drop(queues.wait(&files, &queue(0)).unwrap());
        let mut again = queues.wait(&files, &queue(0)).unwrap();
        assert!(lock(&queues.parked).is_empty());
        drop(queues.wait(&files, &queue(0)).unwrap());
        let mut last = queues.wait(&files, &queue(0)).unwrap();
        drop(turn);
        // Nobody knows which of the two threads is first in the queue.
        let both = async {
            tokio::join!(async { again.turn().await.map(drop) }, async {
                last.turn().await.map(drop)
            },)
        };
        assert_eq!(timeout(WATCHDOG, both).await.unwrap(), (Some(()), Some(())));
    }
}
