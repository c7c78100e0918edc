//! Waits in the kernel, which keeps the order of those who wait for a lock on a file.
//!
//! Nothing but a signal interrupts such a wait, and a library has no signal to itself. So a thread
//! waits, and is left behind when its wait is given up. What it gets then is passed on at once.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::sys::signal::SigSet;
use tokio::sync::Notify;

/// Enough for a thread that does little but wait.
const STACK: usize = 64 * 1024;

/// A wait for a `T`, which is locked.
#[derive(Debug)]
pub(super) struct KernelWait<T> {
    state: Mutex<State<T>>,
    /// For whoever awaits it.
    notify: Notify,
    /// For whoever blocks.
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Waiting {
        is_wanted: bool,
    },
    Granted(T),
    /// It was taken or passed on, or will not come.
    Over,
}

impl<T: Send + 'static> KernelWait<T> {
    /// Begins to wait, by a function that blocks. It returns none if it cannot wait.
    ///
    /// # Errors
    /// `EAGAIN` when no thread can be started.
    pub(super) fn begin(
        block: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let wait = Arc::new(Self {
            state: Mutex::new(State::Waiting { is_wanted: true }),
            notify: Notify::new(),
            changed: Condvar::new(),
        });
        let shared = wait.clone();
        let thread = thread::Builder::new().name("lockheed-wait".to_owned());
        thread.stack_size(STACK).spawn(move || {
            // A signal would lose the place in the queue.
            let _ = SigSet::all().thread_block();
            shared.end(block());
        })?;
        Ok(wait)
    }

    fn end(&self, granted: Option<T>) {
        let mut state = self.lock();
        let is_wanted = matches!(*state, State::Waiting { is_wanted: true });
        *state = match granted.filter(|_| is_wanted) {
            Some(granted) => State::Granted(granted),
            None => State::Over,
        };
        drop(state);
        self.notify.notify_one();
        self.changed.notify_one();
    }

    /// Returns what was waited for; none if it will not come.
    pub(super) async fn granted(&self) -> Option<T> {
        loop {
            match self.take() {
                State::Granted(granted) => return Some(granted),
                State::Over => return None,
                State::Waiting { .. } => self.notify.notified().await,
            }
        }
    }

    /// Blocks until it is over, for this long at most.
    pub(super) fn pause(&self, longest: Duration) {
        let is_waiting = |state: &mut State<T>| matches!(state, State::Waiting { .. });
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), longest, is_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
    }

    /// Passes on what will come. Returns what has come already.
    pub(super) fn give_up(&self) -> Option<T> {
        let mut state = self.lock();
        match mem::replace(&mut *state, State::Over) {
            State::Granted(granted) => Some(granted),
            State::Over => None,
            State::Waiting { .. } => {
                *state = State::Waiting { is_wanted: false };
                None
            }
        }
    }

    /// Takes back a wait that was given up; false if it is too late.
    pub(super) fn is_wanted_again(&self) -> bool {
        let mut state = self.lock();
        let is_waiting = matches!(*state, State::Waiting { .. });
        if is_waiting {
            *state = State::Waiting { is_wanted: true };
        }
        is_waiting
    }

    /// Whether its thread still waits, for whomever.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.lock(), State::Waiting { .. })
    }

    fn take(&self) -> State<T> {
        let mut state = self.lock();
        match &mut *state {
            State::Waiting { is_wanted } => State::Waiting {
                is_wanted: *is_wanted,
            },
            state => mem::replace(state, State::Over),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
