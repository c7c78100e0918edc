//! The signals that a kill sends, and how long it waits after each.

use std::{fmt, str::FromStr, time::Duration};

use coord_core::{Errno, HasErrno, duration, signal_name};

use crate::Signal;

/// What [`kill`](crate::PidFile::kill) does: `TERM/20/KILL` sends TERM, waits up to 20 seconds,
/// then sends KILL.
///
/// The syntax is that of `start-stop-daemon(8)`'s `--retry`: items joined by `/`. An item is a
/// signal name with or without `SIG` or a `-`, a signal number with a `-`, or a time, in seconds or
/// as a duration such as `500ms`. `forever/` repeats everything after it. A time alone, `20`, means
/// `TERM/20/KILL/20`.
///
/// ```
/// let schedule: sipid::Schedule = "TERM/20/QUIT/1s/KILL".parse()?;
/// assert_eq!(schedule.to_string(), "TERM/20s/QUIT/1s/KILL");
/// # Ok::<(), sipid::InvalidSchedule>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    steps: Vec<Step>,
    /// The first step that is repeated for ever, if there is one.
    repeat_from: Option<usize>,
}

/// A single step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Signal),
    Wait(Duration),
}

/// A text that is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSchedule {
    text: String,
    reason: String,
}

impl Schedule {
    /// TERM, a wait of up to `grace`, then KILL.
    #[must_use]
    pub fn terminate(grace: Duration) -> Self {
        Self::of(vec![
            Step::Send(Signal::TERM),
            Step::Wait(grace.min(duration::MAX)),
            Step::Send(Signal::KILL),
        ])
    }

    /// TERM, a wait of up to `grace`, QUIT, then a second for runtimes that print their stacks on
    /// QUIT, then KILL.
    #[must_use]
    pub fn terminate_showing_stacks(grace: Duration) -> Self {
        Self::of(vec![
            Step::Send(Signal::TERM),
            Step::Wait(grace.min(duration::MAX)),
            Step::Send(Signal::QUIT),
            Step::Wait(Duration::from_secs(1)),
            Step::Send(Signal::KILL),
        ])
    }

    fn of(steps: Vec<Step>) -> Self {
        Self {
            steps,
            repeat_from: None,
        }
    }

    /// The steps in order, endless if some repeat.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        let repeated = self.repeat_from.map_or(&[][..], |from| &self.steps[from..]);
        self.steps.iter().chain(repeated.iter().cycle()).copied()
    }
}

impl Default for Schedule {
    /// TERM, 20 seconds, KILL.
    fn default() -> Self {
        Self::terminate(Duration::from_secs(20))
    }
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let fail = |reason: String| InvalidSchedule {
            text: text.to_owned(),
            reason,
        };
        if let Ok(wait) = wait(text) {
            let kill = [
                Step::Send(Signal::TERM),
                wait,
                Step::Send(Signal::KILL),
                wait,
            ];
            return Ok(Self::of(kill.to_vec()));
        }
        let mut schedule = Self::of(Vec::new());
        for item in text.split('/') {
            match item {
                "forever" if schedule.repeat_from.is_some() => {
                    return Err(fail("forever is given twice".to_owned()));
                }
                "forever" => schedule.repeat_from = Some(schedule.steps.len()),
                item => schedule.steps.push(step(item).map_err(&fail)?),
            }
        }
        schedule.check().map_err(|reason| fail(reason.to_owned()))?;
        Ok(schedule)
    }
}

impl Schedule {
    fn check(&self) -> Result<(), &'static str> {
        if !matches!(self.steps.first(), Some(Step::Send(_))) {
            return Err("it must begin with a signal");
        }
        let Some(repeated) = self.repeat_from.map(|from| &self.steps[from..]) else {
            return Ok(());
        };
        let pauses = |step: &Step| matches!(step, Step::Wait(wait) if !wait.is_zero());
        if repeated.iter().any(pauses) {
            Ok(())
        } else {
            Err("what forever repeats must contain a time to wait")
        }
    }
}

fn step(item: &str) -> Result<Step, String> {
    if item.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return wait(item);
    }
    let signal = item.parse();
    signal
        .map(Step::Send)
        .map_err(|_| format!("{item:?} is neither a signal nor a time"))
}

/// A bare number means seconds here, as for start-stop-daemon.
fn wait(item: &str) -> Result<Step, String> {
    let in_seconds = item.parse::<u32>().ok().filter(|_| !item.starts_with('+'));
    let duration = match in_seconds {
        Some(seconds) => Ok(Duration::from_secs(seconds.into())).and_then(|wait| {
            if wait > duration::MAX {
                Err(format!("{item} seconds are too long"))
            } else {
                Ok(wait)
            }
        }),
        None => duration::parse(item).map_err(|error| error.to_string()),
    };
    duration.map(Step::Wait)
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            f.write_str(if index > 0 { "/" } else { "" })?;
            f.write_str(if self.repeat_from == Some(index) {
                "forever/"
            } else {
                ""
            })?;
            match step {
                Step::Send(signal) => {
                    let name = signal_name::name(signal.raw());
                    // A number without a dash would be a time.
                    let sign = if name.starts_with(|c: char| c.is_ascii_digit()) {
                        "-"
                    } else {
                        ""
                    };
                    write!(f, "{sign}{name}")?;
                }
                Step::Wait(wait) => write!(f, "{wait:?}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(
            f,
            "{text:?} is not a schedule: {reason}; write it like TERM/20/KILL"
        )
    }
}

impl std::error::Error for InvalidSchedule {}

impl HasErrno for InvalidSchedule {
    /// Always `EINVAL`.
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_start_stop_daemon_reads() {
        let cases = [
            ("20", "TERM/20s/KILL/20s"),
            ("TERM/20/KILL", "TERM/20s/KILL"),
            ("-TERM/20/-KILL/5", "TERM/20s/KILL/5s"),
            ("-15/1.5s/-9", "TERM/1.5s/KILL"),
            ("sigquit/forever/USR1/500ms", "QUIT/forever/USR1/500ms"),
            ("forever/TERM/1", "forever/TERM/1s"),
            ("RTMIN+3/1/-KILL", "RTMIN+3/1s/KILL"),
        ];
        for (text, shown) in cases {
            assert_eq!(
                text.parse::<Schedule>().unwrap().to_string(),
                shown,
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for bad in [
            "",
            "/",
            "20/TERM",
            "TERM//KILL",
            "NOPE/1",
            "-0/1",
            "-65",
            "forever/TERM",
            "forever/TERM/0",
            "TERM/forever/KILL/1/forever/TERM/1",
            "TERM/-1s",
            "TERM/+5",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn forever_repeats() {
        let schedule: Schedule = "INT/forever/TERM/1".parse().unwrap();
        let signals: Vec<_> = schedule
            .steps()
            .filter(|step| matches!(step, Step::Send(_)))
            .take(3)
            .collect();
        assert_eq!(
            signals,
            ["INT", "TERM", "TERM"].map(|name| Step::Send(name.parse().unwrap()))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+/0-9a-zA-Z.]{0,24}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule));
            }
        }
    }
}
