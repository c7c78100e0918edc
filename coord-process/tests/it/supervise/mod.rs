//! The supervisor, through an example that does nothing else.

mod attacks;
mod endings;
mod guard;
mod limits;
mod nesting;
mod reexec;
mod refused;
mod signals;
mod terminal;
mod trees;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use tempfile::TempDir;

/// Longer than anything takes here on a loaded machine: a test that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A running supervisor, and the lines that its tree prints. It does not outlive the test, however
/// the test ends.
struct Supervised {
    child: Child,
    lines: Receiver<String>,
}

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(name)
}

fn supervise(arguments: &[&str]) -> Command {
    let mut command = Command::new(example("supervise"));
    command.args(arguments).stdin(Stdio::null());
    // SAFETY: a system call with valid arguments.
    unsafe {
        command.pre_exec(|| {
            (32..35).for_each(stop_ignoring);
            Ok(())
        });
    }
    command
}

/// glibc keeps some signals for itself. Its `posix_spawn` leaves them ignored in the programs that
/// it starts, such as this test. glibc itself refuses to change them, so this makes the system
/// call.
fn stop_ignoring(number: i32) {
    // A handler, flags, a restorer and a mask of 64 signals. They fit into this on every
    // architecture.
    let action = [0_u64; 8];
    let nothing = std::ptr::null_mut::<u64>();
    // SAFETY: zeros are the default action, and nothing is written.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, action.as_ptr(), nothing, 8) };
}

/// The status of a supervisor that ends by itself.
fn status(arguments: &[&str]) -> Option<i32> {
    let mut child = supervise(arguments).spawn().unwrap();
    finish(&mut child).code()
}

fn start(command: &mut Command) -> Supervised {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        stdout
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    Supervised { child, lines }
}

impl Supervised {
    /// The next line that the supervisor or its tree prints; none when all of them are gone.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(WATCHDOG) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line"),
        }
    }

    /// Expects this line, and calls `wake` until it comes: the process that prints it may have to
    /// be woken.
    #[track_caller]
    fn says_when_woken(&mut self, line: &str, mut wake: impl FnMut()) {
        let until = Instant::now() + WATCHDOG;
        loop {
            match self.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(said) => return assert_eq!(said, line),
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => wake(),
                Err(error) => panic!("{line:?} is not said: {error}"),
            }
        }
    }

    #[track_caller]
    fn says(&mut self, line: &str) {
        assert_eq!(self.line().as_deref(), Some(line));
    }

    /// The PID on the next line.
    #[track_caller]
    fn says_pid(&mut self) -> Pid {
        Pid::from_raw(self.line().unwrap().parse().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    fn send(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn finish(&mut self) -> ExitStatus {
        finish(&mut self.child)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WATCHDOG, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
fn finish(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the supervisor ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Has a program start with this signal ignored, as `nohup(1)` does.
fn ignoring(command: &mut Command, number: Signal) {
    let ignore = move || {
        // SAFETY: no handler is installed.
        unsafe { signal(number, SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: signal is async-signal-safe, signal-safety(7).
    unsafe { command.pre_exec(ignore) };
}

/// A FIFO for `--until` or `--end-on`, and its directory.
fn fifo() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    (place, fifo)
}

/// Asks for the end of a command that is supervised with `--end-on` or `--until` this FIFO.
fn ask_for_the_end(fifo: &Path) {
    // This does not block: nobody reads before the supervisor is ready.
    let mut open = File::options();
    open.write(true).custom_flags(libc::O_NONBLOCK);
    eventually("the end is asked for", || {
        // With --end-on, opening is enough. When this writes, nobody may be reading any more.
        open.open(fifo).map(|mut fifo| fifo.write(&[0])).is_ok()
    });
}

/// The state of a process, `proc_pid_stat(5)`; none when it is gone.
fn state(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Processes that have this argument. Zombies have none.
fn with_argument(text: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let has = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == text.as_bytes())
        })
    };
    let pids = entries
        .filter(has)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw).collect()
}

/// Whether `sleep` runs with this argument. A shell whose script contains it has a longer argument.
fn sleeps(text: &str) -> bool {
    !with_argument(text).is_empty()
}

/// A number of seconds that no other test sleeps.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{next}", 200_000 + std::process::id())
}
