//! Processes that tests start.

use std::{
    fs,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Output},
};

use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};

use crate::eventually;

/// A child that does not outlive its test, however the test ends.
#[derive(Debug)]
pub struct Kept(pub Child);

impl Kept {
    /// Starts the child.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the process starts"))
    }

    /// The child's PID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Sends the child a signal.
    ///
    /// # Panics
    /// When the child has ended and has been waited for.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the process is there");
    }

    /// Waits for the child's end. Returns its status, 128 + n for a signal.
    ///
    /// # Panics
    /// When it does not end within two minutes.
    #[track_caller]
    pub fn status(&mut self) -> i32 {
        let mut status = None;
        eventually("the process ends", || {
            status = self.0.try_wait().expect("it is a child of this process");
            status.is_some()
        });
        status.map_or(-1, code)
    }

    /// Like `status`, and also returns what the child wrote to its pipes, which must have room for
    /// it.
    ///
    /// # Panics
    /// When it does not end within two minutes, or did not write text.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> (i32, String, String) {
        fn text(pipe: Option<impl Read>) -> String {
            let mut text = String::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_string(&mut text).expect("it wrote text");
            }
            text
        }
        let status = self.status();
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        (status, text(stdout), text(stderr))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end. Returns its status, 128 + n for a signal, and its output.
///
/// # Panics
/// When it cannot be started, or did not write text.
#[track_caller]
pub fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the process starts");
    let text = |bytes| String::from_utf8(bytes).expect("it wrote text");
    (code(status), text(stdout), text(stderr))
}

/// Whether the process is running. A zombie is not.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !['Z', 'X'].contains(&state))
}

/// Creates a program from this text, which begins with `#!`.
///
/// Another process writes the file. If this process opened it for writing, a child that another
/// thread has just forked might still have it open. Then it could not be executed: `ETXTBSY` of
/// `execve(2)`.
///
/// # Panics
/// When it cannot be written.
#[track_caller]
pub fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"]);
    assert_eq!(
        outcome(shell.arg(path).arg(text)).0,
        0,
        "{path:?} is written"
    );
}

/// Copies a program, also by another process.
///
/// # Panics
/// When it cannot be copied.
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    assert_eq!(outcome(copy.arg(from).arg(to)).0, 0, "{from:?} is copied");
}

/// The number in a file, once the file is a whole number and a line end.
///
/// # Panics
/// When it contains none within two minutes.
#[track_caller]
#[must_use]
pub fn number_in(file: &Path) -> i32 {
    let read = || {
        let text = fs::read_to_string(file).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    };
    let mut number = None;
    eventually(&format!("a number in {file:?}"), || {
        number = read();
        number.is_some()
    });
    number.unwrap_or_default()
}

/// Lets INT and QUIT end what the command starts. A shell starts background commands of a script
/// with both ignored, and their children inherit that, signal(7).
pub fn interruptible(command: &mut Command) -> &mut Command {
    let by_default = || {
        for number in [Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: no handler is installed.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: signal is async-signal-safe, signal-safety(7).
    unsafe { command.pre_exec(by_default) }
}

/// The status of an exit, 128 + n for a signal.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|number| 128 + number);
    status.code().or(signal).unwrap_or(-1)
}

/// The system's words for an errno, as our programs print them. They differ between C libraries.
#[must_use]
pub fn words_of(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let words = text.split_once(" (os error ");
    words.map_or(text.clone(), |(words, _)| words.to_owned())
}

/// How often the threads of these processes have been given the processor so far,
/// `proc_pid_status(5)`.
///
/// # Errors
/// `ENOENT` or `ESRCH` when one of them, or one of its threads, has ended.
///
/// # Panics
/// When the kernel writes something that is not a count.
pub fn switches(processes: &[i32]) -> io::Result<u64> {
    let mut switches = 0;
    for process in processes {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let counts = status
                .lines()
                .filter_map(|line| line.split_once("ctxt_switches:"));
            switches += counts
                .map(|(_, count)| count.trim().parse::<u64>().expect("a count"))
                .sum::<u64>();
        }
    }
    Ok(switches)
}

/// Checks that these processes do not run for three seconds. One success in twenty tries is enough,
/// since a process that has just begun to wait may still be settling.
///
/// # Panics
/// When they wake up in each try, or one of them has ended.
#[track_caller]
pub fn assert_sleeps(processes: &[i32]) {
    let mut counts = (0..20).map(|_| {
        let now = || switches(processes).expect("they are there");
        let before = now();
        std::thread::sleep(std::time::Duration::from_secs(3));
        now() - before
    });
    assert!(counts.any(|count| count == 0), "they keep waking up");
}

/// Runs the command with more and more memory, `RLIMIT_AS` of `setrlimit(2)`: from too little to
/// load it, up to `most` KiB, more than it needs. Returns the outcomes, each with its output.
///
/// # Panics
/// When it aborts itself, or `prlimit` is missing.
#[track_caller]
#[must_use]
pub fn run_with_little_memory(
    command: &Command,
    most: usize,
) -> Vec<(Option<i32>, String, String)> {
    let outcome = |kib: usize| {
        let mut limited = Command::new("prlimit");
        limited
            .arg(format!("--as={}", kib * 1024))
            .arg(command.get_program());
        limited
            .args(command.get_args())
            .stdin(std::process::Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let output = limited.output().expect("prlimit, which util-linux has");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        // glibc itself aborts if it cannot register what to do at a thread's end.
        let is_glibc = error.starts_with("Fatal glibc error: ");
        let has_aborted = output.status.signal() == Some(Signal::SIGABRT as i32) && !is_glibc;
        assert!(!has_aborted, "with {kib} KiB: {said}{error}");
        (output.status.code(), said, error)
    };
    let part = most / 160;
    (part * 10..most).step_by(part).map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shells_background_job_can_be_made_interruptible() {
        let marker = "TESTKIT_INTERRUPTED";
        let this = "process::tests::a_shells_background_job_can_be_made_interruptible";
        if std::env::var_os(marker).is_some() {
            let mut sleep = Command::new("sleep");
            let mut sleep = Kept::spawn(interruptible(sleep.arg("1000")));
            sleep.signal(Signal::SIGINT);
            assert_eq!(sleep.status(), 130);
            return;
        }
        let program = std::env::current_exe().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "\"$0\" --exact \"$1\" & wait $!"]);
        let (status, said, errors) = outcome(shell.arg(program).arg(this).env(marker, "1"));
        assert_eq!(status, 0, "{said}{errors}");
        assert!(said.contains("1 passed"), "{said}");
    }
}
