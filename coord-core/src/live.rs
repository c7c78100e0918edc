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

use nix::{libc, sys::signal::SigSet};

use crate::{
    signal::{LINE_ON_TERMINAL, WIPE},
    text::escaped,
};

const REDRAW: Duration = Duration::from_secs(1);

/// One line on standard error that says how long the command has waited, how much time is left, and
/// what it waits for. It is redrawn once a second until it is dropped, and cut to the terminal's
/// width. If standard error is not a terminal, it does nothing.
///
/// Nothing is shown during the first second, so a short wait leaves no trace.
#[derive(Debug)]
pub struct LiveLine {
    what: Arc<Mutex<String>>,
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl LiveLine {
    /// Starts a line such as `waiting for a writer at "x"`. `limit` is the timeout of the wait, if
    /// it has one.
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

    /// Whether a terminal shows the line.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.painter.is_some()
    }

    /// Changes what the line says the command waits for, from the next redraw on.
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

/// Ignores errors: a line that cannot be drawn must not fail the wait.
fn paint_in_background(
    what: Arc<Mutex<String>>,
    limit: Option<Duration>,
) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let started = Instant::now();
    let painter = thread::Builder::new()
        .name("live line".to_owned())
        .spawn(move || {
            // Signals are for the waiting threads.
            let _ = SigSet::all().thread_block();
            while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                let text = line(
                    &what.lock().unwrap_or_else(PoisonError::into_inner),
                    started.elapsed(),
                    limit,
                );
                let text = cut(escaped(&text).to_string(), columns(libc::STDERR_FILENO));
                LINE_ON_TERMINAL.store(true, Ordering::Relaxed);
                // Turns DECAWM (line wrapping) off and on: a wrapped line could not be wiped, and
                // some characters take two columns.
                let _ = write!(io::stderr(), "{WIPE}\x1b[?7l{text}\x1b[?7h");
            }
            if LINE_ON_TERMINAL.swap(false, Ordering::Relaxed) {
                let _ = write!(io::stderr(), "{WIPE}");
            }
        });
    painter.ok().map(|painter| (stop, painter))
}

/// The time comes first, so that it remains when the line is cut.
fn line(what: &str, waited: Duration, limit: Option<Duration>) -> String {
    let whole =
        |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    let waited_for = whole(waited);
    match limit {
        None => format!("{waited_for}: {what}"),
        Some(limit) => {
            let left = whole(limit.saturating_sub(waited));
            format!("{waited_for}, {left} left: {what}")
        }
    }
}

/// Cuts the text to this many characters; the last one shows that there was more.
fn cut(text: String, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if text.chars().count() > columns => {
            let kept = text.chars().take(columns.saturating_sub(1));
            kept.chain(['…']).collect()
        }
        _ => text,
    }
}

/// The width of the terminal behind a standard stream, or `None` if it does not tell,
/// `ioctl_tty(2)`.
pub(crate) fn columns(stream: libc::c_int) -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize to its argument, which is one.
    let done = unsafe { libc::ioctl(stream, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_long_how_much_is_left_and_what_for() {
        let waited = Duration::from_millis(61_500);
        assert_eq!(line("waiting", waited, None), "1m 1s: waiting");
        assert_eq!(
            line("waiting", waited, Some(Duration::from_secs(90))),
            "1m 1s, 28s left: waiting"
        );
        assert_eq!(
            line("waiting", waited, Some(Duration::from_secs(1))),
            "1m 1s, 0s left: waiting"
        );
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let line = || "1s: waiting for 锁".to_owned();
        assert_eq!(cut(line(), None), line());
        assert_eq!(cut(line(), Some(17)), line());
        assert_eq!(cut(line(), Some(16)), "1s: waiting for…");
        assert_eq!(cut(line(), Some(1)), "…");
    }
}
