//! Reports a command's wait for a lock.

use std::{
    fmt::{self, Display},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use coord_core::live::LiveLine;
use log::{Level, log, log_enabled};
use tokio::{runtime::Handle, time::sleep};

/// Shorter waits are not reported.
const SHORT: Duration = Duration::from_millis(500);

/// Reports who is waited for and how the wait ended. A terminal gets a live line. Elsewhere there
/// is a line when the wait begins, one when somebody else is in the way, and one when the wait is
/// over.
///
/// Clones report on the same wait. Other events of the lock are logged through the report too,
/// until [`end`](Self::end).
#[derive(Clone)]
pub struct WaitReport {
    wait: Arc<Shared>,
    /// The lock that the lines are about.
    lock: Arc<str>,
}

struct Shared {
    /// The name of the tool.
    tool: &'static str,
    /// All locks that are waited for.
    locks: Arc<str>,
    /// Whether the tool waits for a holder.
    waits: bool,
    state: Mutex<State>,
}

struct State {
    line: Option<LiveLine>,
    /// When the wait for the current lock began.
    since: Instant,
    beginning: Beginning,
    is_over: bool,
}

/// Whether the wait was reported.
enum Beginning {
    /// There is nothing to report yet.
    None,
    /// If the wait lasts, this is reported about this lock.
    Soon(Arc<str>, String),
    /// It was reported.
    Told,
}

impl WaitReport {
    /// Starts the report on a tool's wait for a lock, or for several that are acquired one after
    /// another. `limit` is the longest wait, if there is one. `waits` says whether the tool waits
    /// for a holder, or fails because of one.
    #[must_use]
    pub fn start(
        tool: &'static str,
        locks: impl IntoIterator<Item: Display>,
        limit: Option<Duration>,
        waits: bool,
    ) -> Self {
        let names: Vec<_> = locks.into_iter().map(|lock| lock.to_string()).collect();
        let several = if names.len() > 1 { "locks" } else { "lock" };
        let locks: Arc<str> = format!("{several} {}", names.join(", ")).into();
        let line = LiveLine::start(format!("waiting for {locks}"), limit);
        let wait = Arc::new(Shared {
            tool,
            locks: locks.clone(),
            waits,
            state: Mutex::new(State {
                line: Some(line),
                since: Instant::now(),
                beginning: Beginning::None,
                is_over: false,
            }),
        });
        Self { wait, lock: locks }
    }

    /// The report on one of the locks.
    #[must_use]
    pub fn of(&self, lock: impl Display) -> Self {
        Self {
            wait: self.wait.clone(),
            lock: format!("lock {lock}").into(),
        }
    }

    /// Reports why the wait begins. After this, obstacles are reported at once, and so is the end
    /// of the wait.
    pub fn announce(&self, why: impl Display) {
        let mut state = self.state();
        self.write(&state, Level::Info, format_args!("{why}"));
        state.beginning = Beginning::Told;
    }

    /// Somebody is in the way, other than before.
    pub fn waiting(&self, why: impl Display) {
        let why = why.to_string();
        self.show(&why);
        let mut state = self.state();
        let shown = state.line.as_ref().is_none_or(LiveLine::is_shown);
        if shown || !self.wait.waits {
            return self.write(&state, Level::Debug, format_args!("waiting: {why}"));
        }
        // Users who ask for more detail see short waits too.
        let at_once = log_enabled!(target: self.wait.tool, Level::Debug);
        if at_once || matches!(state.beginning, Beginning::Told) {
            self.write(&state, Level::Info, format_args!("waiting: {why}"));
            state.beginning = Beginning::Told;
            return;
        }
        let is_ours = |lock: &Arc<str>| *lock == self.lock;
        let is_first = !matches!(&state.beginning, Beginning::Soon(lock, _) if is_ours(lock));
        state.beginning = Beginning::Soon(self.lock.clone(), why);
        drop(state);
        if let (true, Ok(runtime)) = (is_first, Handle::try_current()) {
            let report = self.clone();
            runtime.spawn(async move {
                sleep(SHORT).await;
                report.tell_beginning();
            });
        }
    }

    /// The same holder is in the way, until another time.
    pub fn still_waiting(&self, why: impl Display) {
        let why = why.to_string();
        self.show(&why);
        let mut state = self.state();
        self.write(&state, Level::Debug, format_args!("still waiting: {why}"));
        if let Beginning::Soon(_, known) = &mut state.beginning {
            *known = why;
        }
    }

    /// Shows the obstacle on a terminal.
    pub fn show(&self, why: impl Display) {
        if let Some(line) = &self.state().line {
            line.set(format!("waiting for {}: {why}", self.lock));
        }
    }

    /// The lock was acquired, and this is the message. If there are several locks, others may still
    /// be waited for.
    pub fn acquired(&self, what: impl Display) {
        self.over(format_args!("{what}"), ", after ");
        let state = self.state();
        if let Some(line) = &state.line {
            line.set(format!("waiting for {}", self.wait.locks));
        }
    }

    /// All locks were acquired.
    pub fn acquired_all(&self) {
        hide(&mut self.state());
    }

    /// The wait was cancelled.
    pub fn cancelled(&self) {
        self.over(format_args!("stopped waiting"), " after ");
    }

    /// Logs another event of the lock.
    pub fn log(&self, level: Level, what: impl Display) {
        self.write(&self.state(), level, format_args!("{what}"));
    }

    /// Ends all reports: the work is over, and failures while the process ends say nothing about
    /// the lock.
    pub fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        hide(&mut state);
    }

    fn tell_beginning(&self) {
        let mut state = self.state();
        if let Beginning::Soon(lock, why) = &state.beginning
            && *lock == self.lock
        {
            self.write(&state, Level::Info, format_args!("waiting: {why}"));
            state.beginning = Beginning::Told;
        }
    }

    /// If the beginning of the wait was reported, reports its end and how long it took.
    fn over(&self, what: fmt::Arguments<'_>, after: &str) {
        let mut state = self.state();
        if self.lock == self.wait.locks {
            hide(&mut state);
        }
        let since = mem::replace(&mut state.since, Instant::now());
        match mem::replace(&mut state.beginning, Beginning::None) {
            Beginning::Told => {
                let waited = whole(since.elapsed());
                self.write(&state, Level::Info, format_args!("{what}{after}{waited}"));
            }
            _ => self.write(&state, Level::Debug, what),
        }
    }

    fn write(&self, state: &State, level: Level, what: fmt::Arguments<'_>) {
        if !state.is_over {
            log!(target: self.wait.tool, level, "{}: {what}", self.lock);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.wait
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WaitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut report = f.debug_struct("WaitReport");
        report.field("lock", &self.lock).finish_non_exhaustive()
    }
}

/// Waits for the line's thread, which needs nothing from this state.
fn hide(state: &mut State) {
    drop(state.line.take());
}

/// Whole seconds, from one second up.
fn whole(duration: Duration) -> humantime::FormattedDuration {
    let whole = match duration.as_secs() {
        0 => Duration::from_millis(duration.subsec_millis().into()),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(whole)
}

#[cfg(test)]
mod tests {
    use log::{LevelFilter, Log, Metadata, Record};

    use super::*;

    struct Lines(Mutex<Vec<String>>);

    static LINES: Lines = Lines(Mutex::new(Vec::new()));

    impl Log for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= Level::Info
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                self.0.lock().unwrap().push(record.args().to_string());
            }
        }

        fn flush(&self) {}
    }

    /// What is logged about a lock of this name, which no other test uses.
    fn report(lock: &str, waits: bool) -> (WaitReport, impl Fn() -> Vec<String>) {
        // Another test may have set it.
        let _ = log::set_logger(&LINES);
        log::set_max_level(LevelFilter::Info);
        let prefix = format!("lock {lock}: ");
        let lines = move || {
            let all = LINES.0.lock().unwrap();
            let ours = all.iter().filter_map(|line| line.strip_prefix(&prefix));
            ours.map(str::to_owned).collect()
        };
        (WaitReport::start("tool", [lock], None, waits), lines)
    }

    #[tokio::test]
    async fn a_short_wait_leaves_no_trace() {
        let (report, lines) = report("short", true);
        report.waiting("held by a");
        report.acquired("acquired");
        sleep(2 * SHORT).await;
        assert_eq!(lines(), [""; 0]);
    }

    #[tokio::test]
    async fn a_wait_is_told_with_what_is_known_last_and_its_end_once() {
        let (report, lines) = report("long", true);
        report.waiting("held by a until 1");
        report.still_waiting("held by a until 2");
        sleep(2 * SHORT).await;
        report.still_waiting("held by a until 3");
        report.waiting("held by b");
        report.acquired("acquired");
        report.acquired("acquired");
        let lines = lines();
        assert_eq!(
            lines[..2],
            ["waiting: held by a until 2", "waiting: held by b"]
        );
        let waited = lines[2].strip_prefix("acquired, after ").unwrap();
        let waited = humantime::parse_duration(waited).unwrap();
        assert!(waited >= 2 * SHORT, "{lines:?}");
        assert_eq!(lines.len(), 3);
    }

    /// No time has passed since then.
    #[tokio::test]
    async fn after_an_announcement_all_is_told_at_once() {
        let (report, lines) = report("announced", true);
        report.announce("acquiring again");
        report.waiting("held by a");
        report.acquired("acquired");
        let lines = lines();
        assert_eq!(lines[..2], ["acquiring again", "waiting: held by a"]);
        assert!(lines[2].starts_with("acquired, after "), "{lines:?}");
        assert_eq!(lines.len(), 3);
    }

    #[tokio::test]
    async fn of_several_locks_each_wait_is_told_by_itself() {
        let (_, first) = report("one", true);
        let (_, second) = report("two", true);
        let all = WaitReport::start("tool", ["one", "two"], None, true);
        let (one, two) = (all.of("one"), all.of("two"));
        one.waiting("held by a");
        // This comes before the wait is reported.
        one.acquired("acquired");
        sleep(SHORT / 2).await;
        two.waiting("held by b");
        sleep(2 * SHORT).await;
        assert_eq!(first(), [""; 0]);
        two.acquired("acquired");
        assert_eq!(second()[0], "waiting: held by b");
        assert!(second()[1].starts_with("acquired, after "));
        two.waiting("held by c");
        // This wait starts over.
        one.waiting("held by d");
        sleep(2 * SHORT).await;
        assert_eq!((first().len(), second().len()), (1, 2));
        all.cancelled();
        let lines = LINES.0.lock().unwrap();
        let is_end = |line: &String| line.starts_with("locks one, two: stopped waiting after ");
        assert!(lines.iter().any(is_end), "{lines:?}");
    }

    #[tokio::test]
    async fn who_does_not_wait_is_told_nothing() {
        let (report, lines) = report("no-wait", false);
        report.waiting("held by a");
        sleep(2 * SHORT).await;
        assert_eq!(lines(), [""; 0]);
    }

    /// A runtime that is shutting down cancels its work, which says nothing about the store.
    #[tokio::test]
    async fn nothing_is_said_after_the_end() {
        let (report, lines) = report("over", true);
        report.log(Level::Warn, "before");
        report.waiting("held by a");
        report.end();
        report.log(
            Level::Warn,
            "the store does not answer: task 7 was cancelled",
        );
        sleep(2 * SHORT).await;
        assert_eq!(lines(), ["before"]);
    }
}
