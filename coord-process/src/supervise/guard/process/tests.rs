use testkit::{eventually, process::is_alive};

use super::*;
use crate::supervise::{
    alarm::Alarm,
    alone::{alone, family, pid_of, sleeper},
    descriptors::Descriptors,
    reexec::SignalMask,
};

/// Without a pidfd, the number is all there is.
#[test]
fn a_group_is_killed_by_its_number_only_while_that_is_its_own() {
    alone(|| {
        let (pid, members) = family(1);
        let cmd = |exit| Cmd {
            pid,
            pidfd: None,
            exit,
        };
        cmd(Some(Exit::Code(0))).kill_group();
        // Who is being killed cannot be stopped any more.
        tree::send(pid, None, libc::SIGSTOP);
        eventually("it is stopped", || tree::is_stopped(pid));
        cmd(None).kill_group();
        eventually("both are dead", || {
            ![pid, members[0]].into_iter().any(is_alive)
        });
    });
}

/// Somebody else has its end of the link open, and never reads.
#[test]
fn a_dead_client_is_not_waited_for() {
    alone(|| {
        let (_ours, theirs) = Link::pair().unwrap();
        let reports = (0..100_000).map(Report::Started);
        for report in reports.take_while(|_| !theirs.has_unsent()) {
            theirs.report(&report).unwrap();
        }
        assert!(theirs.has_unsent());
        let mut child = sleeper();
        let pid = pid_of(&child);
        let died = tree::open(pid);
        child.kill().unwrap();
        guard(theirs, Pid::from_raw(pid), died)
            .report_the_end(Exit::Code(0))
            .unwrap();
        child.wait().unwrap();
    });
}

/// One comes while the tree is being ended, one before the end is reported, and one afterwards.
#[test]
fn a_signal_that_comes_after_the_commands_end_is_reported() {
    alone(|| {
        let (ours, theirs) = Link::pair().unwrap();
        let mut guard = guard(theirs, Pid::this(), None);
        let exit = Exit::Code(7);
        guard.cmd = Some(Cmd {
            pid: pid_of(&sleeper()),
            pidfd: None,
            exit: Some(exit),
        });
        guard.signal(libc::SIGHUP, false, false);
        let signal = Order::Signal {
            number: libc::SIGQUIT,
            group: true,
            ends: false,
        };
        ours.order(&signal).unwrap();
        guard.report_the_end(exit).unwrap();
        let heard = [(); 3].map(|()| ours.try_next_report().unwrap().unwrap());
        assert!(
            matches!(
                heard,
                [
                    Report::Unsent(libc::SIGHUP),
                    Report::Unsent(libc::SIGQUIT),
                    Report::Over(..)
                ]
            ),
            "{heard:?}"
        );
        assert!(ours.order(&signal).is_err());
    });
}

fn guard(link: Link, client: Pid, client_died: Option<OwnedFd>) -> Process {
    let tools = Tools {
        alarm: Alarm::new().unwrap().0,
        descriptors: Descriptors::raise(),
        mask: SignalMask::current(),
    };
    Process::new(Plan::new(["true"]), link, client, client_died, tools)
}
