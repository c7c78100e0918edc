use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
};

use nix::sys::resource::{Resource, setrlimit};
use testkit::{eventually, process::is_alive};

use super::*;
use crate::supervise::{
    alone::{alone, family, family_of, pid_of, sleeper},
    reexec::SignalMask,
};

/// A shell that has written something, with a pipe to read from.
fn ready_shell(script: &str) -> Child {
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(shell.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    shell
}

fn kernel_lists_children() -> bool {
    Path::new("/proc/thread-self/children").exists()
}

#[test]
fn the_list_and_the_search_find_the_same_children() {
    let mut shell = ready_shell("sleep 1000 & sleep 1000 & echo ready; wait");
    let pid = i32::try_from(shell.id()).unwrap();
    let sorted = |mut pids: Vec<i32>| {
        pids.sort_unstable();
        pids
    };
    let searched = sorted(Children::new().searched(pid));
    assert_eq!(searched.len(), 2);
    for threads in [None, Some(1)] {
        let listed = Children::new().listed(pid, threads);
        let expected = kernel_lists_children().then_some(&searched);
        assert_eq!(listed.map(sorted).as_ref(), expected);
    }
    let all: Vec<_> = Walk::everywhere().collect();
    for child in searched.into_iter().chain([pid]) {
        assert!(all.iter().any(|found| found.identity.0 == child));
        send(child, None, libc::SIGKILL);
    }
    shell.wait().unwrap();
}

#[test]
fn a_thread_that_has_ended_has_no_children() {
    let none = kernel_lists_children().then(Vec::new);
    assert_eq!(children_of_thread(getpid().as_raw(), 0), none);
}

#[test]
fn starts_and_the_clock_have_the_same_unit() {
    let before = ticks_now();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let started = stat(i32::try_from(child.id()).unwrap()).unwrap().started;
    let after = ticks_now();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        (before..=after).contains(&started),
        "{before} {started} {after}"
    );
}

#[test]
fn who_has_another_parent_by_now_is_found_only_if_that_is_this_process() {
    alone(|| {
        let (shell, children) = family(1);
        let (this, child) = (getpid().as_raw(), children[0]);
        let mut walk = Walk::everywhere();
        // Whether it is a child of this process, and whether it has a pidfd.
        let mut look = |pid, parent| {
            let found = walk.look(pid, parent)?;
            Some((found.is_child, found.pidfd.is_some()))
        };
        assert_eq!(look(shell, this), Some((true, false)));
        assert_eq!(look(shell, child), Some((true, true)));
        assert_eq!(look(child, shell), Some((false, true)));
        assert_eq!(look(child, this), None);
    });
}

#[test]
fn a_walk_goes_below_other_guards_only_if_it_goes_everywhere() {
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join(GUARD);
        symlink("/bin/sh", &program).unwrap();
        let (guard, below) = family_of(&program, 1);
        let (other, children) = family(1);
        let found = |walk: Walk| walk.map(|found| (found.identity.0, found.is_guard));
        let around = BTreeSet::from([(guard, true), (other, false), (children[0], false)]);
        assert_eq!(
            found(Walk::around_guards()).collect::<BTreeSet<_>>(),
            around
        );
        let all = &around | &BTreeSet::from([(below[0], false)]);
        assert_eq!(found(Walk::everywhere()).collect::<BTreeSet<_>>(), all);
    });
}

/// How often this signal has come, which is blocked, and is counted by the kernel.
fn times(signal: i32) -> usize {
    // SAFETY: zeros are a valid set and a valid time.
    let (mut set, now): (libc::sigset_t, libc::timespec) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: the set is valid.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: set and time are valid, and nothing else is asked for.
    let came =
        || unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now) };
    (0..).take_while(|_| came() == signal).count()
}

#[test]
fn a_signal_goes_once_to_the_process_that_is_meant_and_to_no_later_one() {
    alone(|| {
        SignalMask::block_all();
        let (this, signal) = (getpid().as_raw(), libc::SIGRTMIN());
        let mut child = sleeper();
        let gone = open(pid_of(&child));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut sent = |pidfd: Option<OwnedFd>| {
            send(this, pidfd.as_ref(), signal);
            times(signal)
        };
        assert_eq!([open(this), gone, None].map(&mut sent), [1, 0, 1]);
        let process = crate::Process::find(crate::Pid::own()).unwrap().unwrap();
        assert!(process.send(signal).unwrap());
        assert_eq!(times(signal), 1);

        let started = stat(this).unwrap().started;
        let sent = |(started, pidfd, is_child)| {
            let identity = (this, started);
            let is_guard = false;
            Descendant {
                identity,
                pidfd,
                is_child,
                is_guard,
            }
            .send(signal);
            times(signal)
        };
        let same = [
            (started, None, false),
            (0, open(this), false),
            (0, None, true),
        ];
        assert_eq!(same.map(sent), [1; 3]);
        assert_eq!(sent((0, None, false)), 0);
    });
}

#[test]
fn children_are_found_and_killed_and_those_that_are_stopped_are_told() {
    alone(|| {
        let (shell, children) = family(1);
        let own = kernel_lists_children().then_some(shell);
        assert_eq!(own_children(), own.into_iter().collect::<Vec<_>>());
        assert!(!is_stopped(shell));
        send(shell, None, libc::SIGSTOP);
        eventually("it is stopped", || is_stopped(shell));
        Walk::everywhere().for_each(|found| found.kill());
        eventually("both are dead", || {
            ![shell, children[0]].into_iter().any(is_alive)
        });
    });
}

#[test]
fn no_process_is_found_without_descriptors() {
    alone(|| {
        check().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 0, 0).unwrap();
        assert_eq!(check().unwrap_err().raw_os_error(), Some(libc::EMFILE));
    });
}
