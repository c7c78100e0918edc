//! Runs a part of a test in a process of its own: with one thread, and no children but its own.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Once,
    thread,
    time::Duration,
};

use nix::{
    libc,
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, ForkResult, Pid, fork, getpid, setsid},
};
use testkit::eventually;

/// Runs it in a fork of this process that leads a session, is a child subreaper, and has only the
/// standard descriptors. Fails if it panics there, or hangs. What it has started is killed then.
#[track_caller]
pub(crate) fn alone(part: impl FnOnce()) {
    let status = status_alone(part);
    let is_well = matches!(status, WaitStatus::Exited(_, 0));
    assert!(is_well, "{status:?}, see above");
}

/// The same for what may end in another way.
#[track_caller]
pub(crate) fn status_alone(part: impl FnOnce()) -> WaitStatus {
    print_panics_of_forks();
    // SAFETY: the C library lets the forked child of a process with threads go on.
    let child = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => run(part),
    };
    let mut status = WaitStatus::StillAlive;
    let is_over = || {
        status = waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap();
        status != WaitStatus::StillAlive
    };
    let hangs = catch_unwind(AssertUnwindSafe(|| eventually("it ends", is_over))).is_err();
    if hangs {
        kill(child, Signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
    }
    assert!(!hangs, "it hangs");
    status
}

/// What a fork prints would be kept for its test, and be gone with the fork. The hook is set before
/// the fork, which would wait for ever to set it if another test is panicking at that moment.
fn print_panics_of_forks() {
    static ONCE: Once = Once::new();
    let test = getpid();
    ONCE.call_once(|| {
        let of_tests = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if getpid() == test {
                of_tests(info);
            } else {
                let _ = unistd::write(io::stderr(), format!("{info}\n").as_bytes());
            }
        }));
    });
}

fn run(part: impl FnOnce()) -> ! {
    let is_well = catch_unwind(AssertUnwindSafe(|| {
        prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
        prctl::set_child_subreaper(true).unwrap();
        setsid().unwrap();
        // SAFETY: the arguments are numbers, and nobody else is here to use the descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        part();
    }));
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok() {
        for child in children() {
            let _ = kill(child, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: _exit takes any number.
    unsafe { libc::_exit(i32::from(is_well.is_err())) }
}

/// The children of this process, found without the code that is tested.
fn children() -> impl Iterator<Item = Pid> {
    let list = format!("/proc/{0}/task/{0}/children", getpid());
    let list = std::fs::read_to_string(list).unwrap_or_default();
    let pids: Vec<i32> = list.split_whitespace().flat_map(str::parse).collect();
    pids.into_iter().map(Pid::from_raw)
}

/// Starts a process that does nothing.
pub(crate) fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

pub(crate) fn pid_of(child: &Child) -> i32 {
    child.id().try_into().unwrap()
}

/// Starts a shell that leads a process group, with this many children in it that do nothing.
pub(crate) fn family(children: usize) -> (i32, Vec<i32>) {
    family_of(Path::new("sh"), children)
}

/// The same, by this file.
#[expect(clippy::zombie_processes, reason = "`run` reaps them")]
pub(crate) fn family_of(shell: &Path, children: usize) -> (i32, Vec<i32>) {
    let script = "while [ $1 -gt 0 ]; do sleep 1000 & echo $!; set $(($1-1)); done; echo ready; wait; read -r _";
    let mut command = Command::new(shell);
    command
        .arg0("sh")
        .args(["-c", script, "sh", &children.to_string()]);
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shell = command.spawn().unwrap();
    let said = BufReader::new(shell.stdout.take().unwrap()).lines();
    let said = said.map(Result::unwrap).take_while(|line| line != "ready");
    let pids: Vec<i32> = said.map(|pid| pid.parse().unwrap()).collect();
    for child in &pids {
        // Until then, it has the shell's name.
        let name = || fs::read_to_string(format!("/proc/{child}/comm")).unwrap();
        eventually("it sleeps", || name() == "sleep\n");
    }
    let pid = pid_of(&shell);
    // It reads until this process ends.
    std::mem::forget(shell.stdin.take());
    (pid, pids)
}
