use std::ops::RangeInclusive;

use coord_core::Status;
use nix::sys::{
    ptrace,
    signal::kill,
    wait::{WaitStatus, waitpid},
};

use super::*;
use crate::supervise::{
    Plan,
    alone::{alone, pid_of, sleeper},
    wire::Link,
};

const REASON: Reason = Reason::new("it was time", Status::LOST);

/// A guard that is played by the test: it reads the orders, and another process is the one that
/// signals hit.
struct Played {
    running: Running,
    process: Pid,
    link: Link,
}

impl Played {
    fn new(plan: Plan) -> Self {
        let (ours, link) = Link::pair().unwrap();
        let process = Pid::from_raw(pid_of(&sleeper()));
        let caught = Caught::new().unwrap();
        let guard = Guard::of(process, ours, plan);
        let running = Running::new(guard, Pid::from_raw(1), caught);
        Self {
            running,
            process,
            link,
        }
    }

    fn next_order(&self) -> Option<Order> {
        let mut readable = [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut readable, PollTimeout::ZERO).unwrap();
        (ready > 0).then(|| self.link.next_order().unwrap().unwrap())
    }

    fn passes_on(&mut self, number: i32, from_kernel: bool) -> Option<(i32, bool, bool)> {
        self.running.pass_on(Signal {
            number,
            from_kernel,
        });
        self.next_order().map(|order| match order {
            Order::Signal {
                number,
                group,
                ends,
            } => (number, group, ends),
            other => panic!("{other:?}"),
        })
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // There is no tree.
        self.running.over = true;
    }
}

fn plan() -> Plan {
    Plan::new(["true"])
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn who_gets_a_signal_depends_on_what_it_is_and_who_sent_it() {
    alone(|| {
        let mut played = Played::new(plan());
        // The signal, whether the kernel sent it; whether the group gets it, and it asks to end.
        for (number, from_kernel, group, ends) in [
            (libc::SIGHUP, false, false, false),
            (libc::SIGHUP, true, true, false),
            (libc::SIGUSR1, false, false, false),
            (libc::SIGUSR1, true, false, false),
            (libc::SIGWINCH, false, true, false),
            (libc::SIGTSTP, false, true, false),
            (libc::SIGCONT, false, true, false),
            (libc::SIGCHLD, false, false, false),
        ] {
            let passed = played.passes_on(number, from_kernel);
            assert_eq!(passed, Some((number, group, ends)));
        }
        assert_eq!(played.passes_on(libc::SIGCHLD, true), None);
        assert!(!played.running.is_stopping());
        for (from_kernel, group) in [(false, false), (true, true)] {
            let passed = played.passes_on(libc::SIGINT, from_kernel);
            assert_eq!(passed, Some((libc::SIGINT, group, true)));
        }
        assert!(played.running.is_stopping());
        let passed = played.passes_on(libc::SIGTERM, true);
        assert_eq!(passed, Some((libc::SIGTERM, false, true)));
    });
}

#[test]
fn without_a_terminal_nobody_stops_with_the_command() {
    alone(|| {
        let played = Played::new(plan());
        for signal in [libc::SIGTSTP, libc::SIGSTOP] {
            played.running.stop_too(signal);
            assert!(played.next_order().is_none());
        }
    });
}

#[test]
fn a_signal_that_came_too_late_is_told_if_it_asks_to_end() {
    alone(|| {
        let mut played = Played::new(plan().signal(libc::SIGUSR2));
        let numbers = [libc::SIGUSR1, libc::SIGHUP, libc::SIGUSR2, libc::SIGTERM];
        for number in numbers {
            // SAFETY: the arguments are numbers.
            unsafe { libc::kill(getpid().as_raw(), number) };
        }
        let told = std::iter::from_fn(|| played.running.next_unsent());
        let told: Vec<_> = told.take(numbers.len()).collect();
        assert_eq!(told, numbers[1..]);
    });
}

/// The command had ended, and the guard with it.
#[test]
fn a_signal_that_could_not_be_passed_on_is_told_if_it_asks_to_end() {
    alone(|| {
        let mut played = Played::new(plan());
        played.link.close();
        for number in [libc::SIGUSR1, libc::SIGHUP, libc::SIGWINCH, libc::SIGQUIT] {
            let from_kernel = true;
            played.running.pass_on(Signal {
                number,
                from_kernel,
            });
        }
        assert_eq!(played.running.next_unsent(), Some(libc::SIGHUP));
        assert_eq!(played.running.next_unsent(), Some(libc::SIGQUIT));
        assert_eq!(played.running.next_unsent(), None);
    });
}

/// The guard knows them as they were to be passed on.
#[test]
fn a_signal_that_the_guard_did_not_pass_on_is_told_if_it_asks_to_end() {
    alone(|| {
        let mut played = Played::new(plan().rewrites(["HUP=USR1".parse().unwrap()]));
        for number in [libc::SIGUSR2, libc::SIGUSR1, libc::SIGQUIT] {
            played.link.report(&Report::Unsent(number)).unwrap();
        }
        assert_eq!(played.running.step().unwrap(), None);
        assert_eq!(played.running.next_unsent(), Some(libc::SIGHUP));
        assert_eq!(played.running.next_unsent(), Some(libc::SIGQUIT));
        assert_eq!(played.running.next_unsent(), None);
    });
}

#[test]
fn orders_that_there_was_no_room_for_are_sent_later() {
    alone(|| {
        let mut played = Played::new(plan());
        let is_full = |number| {
            played.running.send(number, false, false);
            played.running.guard.process.has_unsent()
        };
        assert!((0..100_000).any(is_full));
        assert_eq!(played.running.timeout(), Some(RESEND));
        while played.next_order().is_some() {}
        assert_eq!(played.running.step().unwrap(), None);
        assert!(!played.running.guard.process.has_unsent());
        assert!(played.next_order().is_some());
        assert_eq!(played.running.timeout(), None);
    });
}

/// The first of them is when the tree is asked.
#[test]
fn it_sleeps_until_something_is_due_before_the_deadline() {
    alone(|| {
        let played = Played::new(plan().grace(seconds(10)).margin(seconds(4)));
        let deadline = boottime() + seconds(1000);
        played.running.ender().set_deadline(Some(deadline)).unwrap();
        let due = [14, 4, 0, 2].map(|before| deadline - seconds(before) + AFTER);
        assert_eq!(played.running.moments(), due);
        assert_eq!(played.running.overdue(), Some(due[3]));
        let before = boottime();
        let left = played.running.timeout().unwrap();
        let expected: RangeInclusive<_> = due[0] - boottime()..=due[0] - before;
        assert!(expected.contains(&left), "{left:?} {expected:?}");
    });
}

#[test]
fn a_guard_is_late_some_time_after_the_first_grace_period() {
    alone(|| {
        let plan = plan().grace(seconds(30)).signal_grace(seconds(20));
        let mut played = Played::new(plan);
        assert_eq!(played.running.overdue(), None);
        let now = boottime();
        played.running.stopping = Some(now);
        let over = now + seconds(20) + AFTER;
        assert_eq!(played.running.moments(), [over, over + PATIENCE]);
        played.running.stopping = None;
        played.running.ender().end(REASON);
        let over = played.running.guard.process.asked().unwrap() + seconds(30) + AFTER;
        assert_eq!(played.running.moments(), [over, over + PATIENCE]);
    });
}

#[test]
fn a_busy_guard_is_left_alone_until_the_deadline() {
    alone(|| {
        let mut played = Played::new(plan().margin(seconds(1000)));
        let set = |deadline| played.running.ender().set_deadline(Some(deadline)).unwrap();
        set(boottime() + seconds(400));
        assert!(played.running.overdue() < Some(boottime()));
        assert_eq!(played.running.take_over_if_late(), None);
        let set = |deadline| played.running.ender().set_deadline(Some(deadline)).unwrap();
        set(boottime() - seconds(1));
        let exit = Exit::Signal(libc::SIGKILL);
        let end = End::Deadline;
        assert_eq!(
            played.running.take_over_if_late(),
            Some(Outcome { exit, end })
        );
    });
}

/// This process did not run from before the report until after the deadline.
#[test]
fn an_end_that_was_reported_before_the_guard_is_late_counts() {
    alone(|| {
        let mut played = Played::new(plan());
        let deadline = boottime().saturating_sub(seconds(1));
        played.running.ender().set_deadline(Some(deadline)).unwrap();
        let over = Report::Over(Exit::Code(7), Cause::Own);
        played.link.report(&over).unwrap();
        let (exit, end) = (Exit::Code(7), End::Own);
        assert_eq!(
            played.running.take_over_if_late(),
            Some(Outcome { exit, end })
        );
    });
}

/// It is late because of a signal. The deadline is not near.
#[test]
fn a_guard_that_cannot_be_continued_is_not_waited_for() {
    alone(|| {
        let plan = plan().margin(seconds(1000)).signal_grace(Duration::ZERO);
        let mut played = Played::new(plan);
        let deadline = boottime() + seconds(1500);
        played.running.ender().set_deadline(Some(deadline)).unwrap();
        played.running.stopping = Some(boottime().saturating_sub(seconds(5)));
        ptrace::attach(played.process).unwrap();
        let stopped = waitpid(played.process, None).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        let outcome = played.running.take_over_if_late().unwrap();
        assert_eq!(outcome.end, End::Own);
        assert!(kill(played.process, None).is_err());
    });
}
