//! The live line: what a waiting command shows on a terminal.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    signal::{LINE_ON_TERMINAL, WIPE},
    text::escaped,
};

const REDRAW: Duration = Duration::from_secs(1);

/// One line on standard error that says what the command waits for, how long it has waited and how much is left,
/// redrawn once a second while it lives. Where standard error is not a terminal it does nothing.
///
/// Nothing shows during the first second, so that a short wait leaves no trace.
#[derive(Debug)]
pub struct LiveLine {
    what: Arc<Mutex<String>>,
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl LiveLine {
    /// Starts a line such as `waiting for a writer at "x"`, with the limit of the wait where it has one.
    #[must_use = "the line goes when this is dropped"]
    pub fn start(what: impl Into<String>, limit: Option<Duration>) -> Self {
        let what = Arc::new(Mutex::new(what.into()));
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let painter = if io::stderr().is_terminal() && !dumb {
            paint_in_background(what.clone(), limit)
        } else {
            None
        };
        Self { what, painter }
    }

    /// Changes what the line says is waited for, from the next redraw on.
    pub fn set(&self, what: impl Into<String>) {
        *self.what.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if let Some((stop, painter)) = self.painter.take() {
            drop(stop);
            let _ = painter.join();
        }
    }
}

/// A line that cannot be painted must not fail the wait, hence no errors here.
fn paint_in_background(
    what: Arc<Mutex<String>>,
    limit: Option<Duration>,
) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let started = Instant::now();
    let painter = thread::Builder::new()
        .name("live line".to_owned())
        .spawn(move || {
            while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                let text = line(
                    &what.lock().unwrap_or_else(PoisonError::into_inner),
                    started.elapsed(),
                    limit,
                );
                LINE_ON_TERMINAL.store(true, Ordering::Relaxed);
                // DECAWM off and on: a long line is cut at the margin, since a wrapped one could not be wiped.
                let _ = write!(io::stderr(), "{WIPE}\x1b[?7l{}\x1b[?7h", escaped(&text));
            }
            if LINE_ON_TERMINAL.swap(false, Ordering::Relaxed) {
                let _ = write!(io::stderr(), "{WIPE}");
            }
        });
    painter.ok().map(|painter| (stop, painter))
}

fn line(what: &str, waited: Duration, limit: Option<Duration>) -> String {
    let whole =
        |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    match limit {
        None => format!("{what}, {} so far", whole(waited)),
        Some(limit) => format!(
            "{what}, {} so far, {} left",
            whole(waited),
            whole(limit.saturating_sub(waited))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_how_long_and_how_much_is_left() {
        let waited = Duration::from_millis(61_500);
        assert_eq!(line("waiting", waited, None), "waiting, 1m 1s so far");
        assert_eq!(
            line("waiting", waited, Some(Duration::from_secs(90))),
            "waiting, 1m 1s so far, 28s left"
        );
        assert_eq!(
            line("waiting", waited, Some(Duration::from_secs(1))),
            "waiting, 1m 1s so far, 0s left"
        );
    }
}
