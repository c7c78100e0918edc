//! What to run, and how to end it.

use std::{ffi::OsString, fmt, str::FromStr, time::Duration};

use coord_core::{Errno, HasErrno, signal_name};
use nix::libc;

use super::reexec::SignalMask;

/// Keeps the sum of a moment and a grace period representable.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What to run, and how to end it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) command: Vec<OsString>,
    pub(crate) grace: Duration,
    pub(crate) signal_grace: Duration,
    pub(crate) margin: Duration,
    pub(crate) signal: i32,
    pub(crate) orphans: Orphans,
    pub(crate) kill_mode: KillMode,
    pub(crate) rewrites: Vec<Rewrite>,
    pub(crate) without_vars: Vec<OsString>,
    pub(crate) mask: Option<SignalMask>,
}

/// What happens to the processes that CMD leaves behind when it exits by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are ended as CMD would be.
    #[default]
    End,
    /// We wait for them. A signal that asks CMD to end, sent after CMD has exited, ends them.
    Wait,
    /// They are left alone: the supervisor exits, and they move to the next subreaper above it, or
    /// to init.
    Leave,
}

/// Who is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum KillMode {
    /// The command and all that it started
    #[default]
    Tree,
    /// Only the command, which stops its workers itself (`KillMode=mixed` of systemd)
    Main,
}

/// A signal that is forwarded as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    from: i32,
    to: i32,
}

/// A text that is not a rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRewrite(String);

impl Plan {
    /// A program and its arguments. By default it is stopped with TERM and ten seconds of grace,
    /// and leaves nothing behind.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let grace = Duration::from_secs(10);
        Self {
            command: command.into_iter().map(Into::into).collect(),
            grace,
            signal_grace: grace,
            margin: Duration::ZERO,
            signal: libc::SIGTERM,
            orphans: Orphans::End,
            kill_mode: KillMode::Tree,
            rewrites: Vec::new(),
            without_vars: Vec::new(),
            mask: None,
        }
    }

    /// How long after it is asked to end the tree is killed. More than a hundred years counts as a
    /// hundred.
    ///
    /// This also sets the grace period after a forwarded signal, see
    /// [`signal_grace`](Self::signal_grace).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace.min(LONGEST);
        self.signal_grace = self.grace;
        self
    }

    /// How long after a forwarded TERM or INT, or the plan's own signal, the tree is killed. Other
    /// signals may not mean to end: HUP may reload the configuration, QUIT may print the stacks.
    #[must_use]
    pub fn signal_grace(mut self, grace: Duration) -> Self {
        self.signal_grace = grace.min(LONGEST);
        self
    }

    /// How long before a deadline KILL is sent, so that it takes effect in time. The guard uses a
    /// longer time if asking a large tree took longer.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin.min(LONGEST);
        self
    }

    /// The signal that asks the tree to end, by its number in `signal(7)`.
    ///
    /// # Panics
    /// When `number` is not a signal, 1 to 64.
    #[must_use]
    pub fn signal(mut self, number: i32) -> Self {
        let is_signal = (1..=signal_name::LAST).contains(&number);
        assert!(is_signal, "{number} is not the number of a signal");
        self.signal = number;
        self
    }

    /// Sets what happens to the processes that CMD leaves behind.
    #[must_use]
    pub fn orphans(mut self, orphans: Orphans) -> Self {
        self.orphans = orphans;
        self
    }

    /// Sets which processes are asked to end.
    #[must_use]
    pub fn kill_mode(mut self, mode: KillMode) -> Self {
        self.kill_mode = mode;
        self
    }

    /// Sets which signals are forwarded as another one. If a signal is rewritten several times, the
    /// last one counts.
    #[must_use]
    pub fn rewrites(mut self, rewrites: impl IntoIterator<Item = Rewrite>) -> Self {
        self.rewrites = rewrites.into_iter().collect();
        self
    }

    /// Removes these variables from CMD's environment.
    #[must_use]
    pub fn without_vars(mut self, names: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.without_vars = names.into_iter().map(Into::into).collect();
        self
    }

    /// The signal mask that CMD starts with, instead of this process's.
    #[must_use]
    pub fn signal_mask(mut self, mask: SignalMask) -> Self {
        self.mask = Some(mask);
        self
    }

    pub(crate) fn rewritten(&self, signal: i32) -> i32 {
        let rewrite = self.rewrites.iter().rfind(|rewrite| rewrite.from == signal);
        rewrite.map_or(signal, |rewrite| rewrite.to)
    }

    /// Whether an incoming signal asks CMD to end.
    pub(crate) fn is_asked_by(&self, signal: i32) -> bool {
        [libc::SIGTERM, libc::SIGINT, self.signal].contains(&signal)
    }

    /// How long before a deadline the tree is asked to end.
    pub(crate) fn notice(&self) -> Duration {
        self.grace + self.margin
    }
}

impl FromStr for Rewrite {
    type Err = InvalidRewrite;

    /// Parses two signals as [`signal_name::parse`] does, such as `TERM=QUIT`.
    fn from_str(text: &str) -> Result<Self, InvalidRewrite> {
        let fail = |reason: &dyn fmt::Display| {
            InvalidRewrite(format!(
                "{text:?} is not a rewrite: {reason}; write it like TERM=QUIT"
            ))
        };
        let (from, to) = text
            .split_once('=')
            .ok_or_else(|| fail(&"it has no \"=\""))?;
        let read = |name| signal_name::parse(name).map_err(|error| fail(&error));
        let (from, to) = (read(from)?, read(to)?);
        if [libc::SIGKILL, libc::SIGSTOP].contains(&from) {
            return Err(fail(&"KILL and STOP cannot be caught"));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for InvalidRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRewrite {}

impl HasErrno for InvalidRewrite {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coord_core::boottime;

    #[test]
    fn the_longest_grace_period_ends_at_some_moment() {
        let plan = Plan::new(["true"]).grace(Duration::MAX);
        assert!(boottime().checked_add(plan.grace).is_some());
        let years = Duration::from_secs(99 * 365 * 24 * 3600);
        assert_eq!(Plan::new(["true"]).grace(years).grace, years);
    }

    #[test]
    fn the_tree_is_asked_one_grace_period_and_one_margin_before_the_deadline() {
        let (grace, margin) = (Duration::from_secs(3), Duration::from_secs(2));
        let plan = Plan::new(["true"]).grace(grace).margin(margin);
        assert_eq!(plan.notice(), Duration::from_secs(5));
    }

    #[test]
    fn the_last_rewrite_of_a_signal_counts() {
        let rewrites = ["TERM=USR1", "sigterm=QUIT", "HUP=RTMIN"].map(|text| text.parse().unwrap());
        let plan = Plan::new(["true"]).rewrites(rewrites);
        assert_eq!(plan.rewritten(libc::SIGTERM), libc::SIGQUIT);
        assert_eq!(plan.rewritten(libc::SIGHUP), libc::SIGRTMIN());
        assert_eq!(plan.rewritten(libc::SIGINT), libc::SIGINT);
    }

    #[test]
    fn what_is_not_a_rewrite_is_refused() {
        for bad in [
            "",
            "TERM",
            "=",
            "TERM=",
            "=QUIT",
            "TERM=NO",
            "KILL=TERM",
            "STOP=TERM",
        ] {
            let error = bad.parse::<Rewrite>().unwrap_err().to_string();
            assert!(error.contains("is not a rewrite: "), "{error}");
        }
    }
}
