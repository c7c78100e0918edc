//! What other processes do to the client and the guard while a command runs.

use std::{fs, path::Path};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    ask_for_the_end, eventually, fifo, guard::deadline_and_guard, sleeps, start, state, supervise,
    unique,
};

/// `PTRACE_EVENT_STOP` of `ptrace(2)`.
const EVENT_STOP: i32 = 128;

/// The guard has more reports than fit, and the last one still arrives.
#[test]
fn a_client_that_was_stopped_for_long_hears_how_the_command_ended() {
    let (_place, fifo) = fifo();
    let script = format!("echo $$; read _ <{}; exit 7", fifo.display());
    let mut supervised = start(&mut supervise(&["sh", "-c", &script]));
    let command = supervised.says_pid();
    supervised.send(Signal::SIGSTOP);
    for _ in 0..1000 {
        kill(command, Signal::SIGSTOP).unwrap();
        eventually("the command is stopped", || state(command) == Some('T'));
        kill(command, Signal::SIGCONT).unwrap();
        eventually("the command goes on", || state(command) != Some('T'));
    }
    fs::write(&fifo, "now\n").unwrap();
    eventually("the command has been reaped", || state(command).is_none());
    supervised.send(Signal::SIGCONT);
    assert_eq!(supervised.finish().code(), Some(7));
}

/// Only this process can continue it afterwards. `PTRACE_ATTACH` would send a SIGSTOP, which the
/// client's next SIGCONT may take back.
fn trace_and_stop(guard: Pid) {
    ptrace::seize(guard, Options::empty()).unwrap();
    ptrace::interrupt(guard).unwrap();
    eventually("the guard is stopped", || state(guard) == Some('t'));
}

/// More than a thousand signals for a stopped guard do not keep the order to end from it. A tracer
/// stops the guard, because the client would continue it otherwise.
#[test]
fn an_order_that_a_stopped_guard_has_no_room_for_reaches_it_later() {
    let (_place, fifo) = fifo();
    let options = ["--until", fifo.to_str().unwrap()];
    let script = "trap : USR1; echo $PPID; while :; do sleep 0.02; done";
    let mut supervised = start(&mut supervise(
        &[&options[..], &["sh", "-c", script]].concat(),
    ));
    let guard = supervised.says_pid();
    trace_and_stop(guard);
    for _ in 0..600 {
        supervised.send(Signal::SIGUSR1);
        supervised.send(Signal::SIGWINCH);
    }
    ask_for_the_end(&fifo);
    ptrace::detach(guard, None).unwrap();
    assert_eq!(supervised.finish().code(), Some(122));
}

/// The guard is stopped between the fork of the command and the report of that.
#[test]
fn a_guard_that_is_stopped_while_it_starts_the_command_goes_on() {
    let (mut supervised, guard) = traced_after_the_fork("exit 7");
    kill(guard, Signal::SIGSTOP).unwrap();
    ptrace::detach(guard, None).unwrap();
    assert_eq!(supervised.finish().code(), Some(7));
}

/// Only its tracer can continue the guard, so the client must not wait for it. The command dies
/// with the guard, and what the command has started is asked to end.
#[test]
fn a_guard_that_is_traced_while_it_starts_the_command_saves_nobody() {
    let long = unique();
    let orphan = format!("trap 'echo asked; exit' TERM; echo ready; sleep {long} & wait");
    let script = format!("(setsid sh -c \"{orphan}\" &); exec sleep {long}");
    let (mut supervised, _guard) = traced_after_the_fork(&script);
    // The client must not give up the guard before the orphan is ready for TERM.
    supervised.send(Signal::SIGSTOP);
    eventually("the client is stopped", || {
        state(supervised.pid()) == Some('T')
    });
    supervised.says("ready");
    supervised.send(Signal::SIGCONT);
    supervised.says("asked");
    assert_eq!(supervised.finish().code(), Some(125));
    assert!(!sleeps(&long));
}

/// Starts a supervisor whose guard is traced, and stopped between the fork of the command and the
/// report of that.
fn traced_after_the_fork(script: &str) -> (super::Supervised, Pid) {
    let locked = tempfile::NamedTempFile::new().unwrap();
    let lock = Flock::lock(locked.reopen().unwrap(), FlockArg::LockExclusive).unwrap();
    let keep = [
        "--grace",
        "60000",
        "--keep",
        locked.path().to_str().unwrap(),
    ];
    let supervised = start(&mut supervise(&[&keep[..], &["sh", "-c", script]].concat()));
    // The client still waits for the lock, and has ordered nothing.
    let title = format!("coord-guard of {}", supervised.pid());
    eventually("the guard is ready", || !named(&[&title]).is_empty());
    let guard = named(&[&title])[0];
    let forks =
        Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    ptrace::seize(guard, forks).unwrap();
    drop(lock);
    let traced = |pid| waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    // SIGCONT is an event too.
    while !matches!(traced(guard), WaitStatus::PtraceEvent(.., event) if event != EVENT_STOP) {
        ptrace::cont(guard, None).unwrap();
    }
    let command = Pid::from_raw(ptrace::getevent(guard).unwrap().try_into().unwrap());
    traced(command);
    ptrace::detach(command, None).unwrap();
    (supervised, guard)
}

/// Nothing but the command's exit makes the client look at the guard: the deadline is far, and
/// nobody has asked for the end.
#[test]
fn a_guard_that_is_stopped_when_the_command_exits_goes_on() {
    let (_place, fifo) = fifo();
    let script = format!("echo $PPID; read _ <{}; exit 7", fifo.display());
    let far = ["--deadline", "3600000", "--grace", "0"];
    let mut supervised = start(&mut supervise(&[&far[..], &["sh", "-c", &script]].concat()));
    let guard = deadline_and_guard(&mut supervised);
    kill(guard, Signal::SIGSTOP).unwrap();
    fs::write(&fifo, "now\n").unwrap();
    assert_eq!(supervised.finish().code(), Some(7));
}

/// A process that traces the guard can keep it stopped, even after a SIGCONT.
#[test]
fn a_guard_that_is_traced_does_not_save_the_tree() {
    let (_place, fifo) = fifo();
    let end_on = fifo.to_str().unwrap();
    let deadline = ["--deadline", "4000", "--grace", "300", "--margin", "200"];
    let asked = ["--deadline", "3600000", "--until", end_on, "--grace", "300"];
    for options in [&deadline[..], &asked] {
        let long = unique();
        let script = format!("(setsid sleep {long} &); echo $PPID; exec sleep {long}");
        let mut supervised = start(&mut supervise(&[options, &["sh", "-c", &script]].concat()));
        let guard = deadline_and_guard(&mut supervised);
        trace_and_stop(guard);
        if options.contains(&end_on) {
            ask_for_the_end(&fifo);
        }
        assert_eq!(supervised.finish().code(), Some(122), "{options:?}");
        assert!(!sleeps(&long));
    }
}

fn guard_said(supervised: &mut super::Supervised) -> Pid {
    loop {
        let line = supervised.line().unwrap();
        if let Some(guard) = line.strip_prefix("guard ") {
            return Pid::from_raw(guard.parse().unwrap());
        }
    }
}

/// Kills by name and arguments, as `pkill -9 -f` does.
#[test]
fn what_is_meant_for_the_client_by_its_command_line_leaves_the_guard() {
    let long = unique();
    let script =
        format!("sleep {long} & (setsid sleep {long} &); echo guard $PPID; exec sleep {long}");
    let mut supervised = start(&mut supervise(&["--grace", "1000", "sh", "-c", &script]));
    let guard = guard_said(&mut supervised);
    let seen = |file: &str| fs::read_to_string(format!("/proc/{guard}/{file}")).unwrap();
    assert_eq!(seen("comm"), "coord-guard\n");
    let line = seen("cmdline");
    let line = line.trim_end_matches('\0');
    assert_eq!(line, format!("coord-guard of {}", supervised.pid()));
    for process in named(&["supervise"]) {
        if process == supervised.pid() || process == guard {
            kill(process, Signal::SIGKILL).unwrap();
        }
    }
    supervised.finish();
    eventually("the tree is gone", || !sleeps(&long));
}

/// Processes that have these texts in their command line.
fn named(texts: &[&str]) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let has = |path: &Path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        texts.iter().all(|text| line.contains(text))
    };
    let entries = entries.filter(|entry| has(&entry.path()));
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw).collect()
}

/// In a PID namespace, the parent-death signal reaches the first process, and through it all
/// others.
#[test]
fn in_a_pid_namespace_the_tree_goes_even_when_both_are_killed() {
    let long = unique();
    let script = format!("sleep {long} & (setsid sleep {long} &); echo ready; exec sleep {long}");
    let mut unshare = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        unshare.extend(["--user", "--map-root-user"]);
    }
    let mut supervised = start(&mut supervise(
        &[&unshare[..], &["sh", "-c", &script]].concat(),
    ));
    supervised.says("ready");
    let guard = named(&[&format!("coord-guard of {}", supervised.pid())]);
    for process in guard.into_iter().chain([supervised.pid()]) {
        kill(process, Signal::SIGSTOP).unwrap();
    }
    let guard = named(&[&format!("coord-guard of {}", supervised.pid())]);
    for process in guard.into_iter().chain([supervised.pid()]) {
        kill(process, Signal::SIGKILL).unwrap();
    }
    supervised.finish();
    eventually("the tree is gone", || !sleeps(&long));
}
