//! One server process: it is started, found again by a later process, signalled and ended.

use std::{
    ffi::OsString,
    fmt, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use nix::{
    sys::{
        prctl,
        signal::{self, Signal},
    },
    unistd::{self, Pid},
};
use serde_json::{Value, json};

use crate::{Error, Result};

/// How long the servers live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// No longer than the thread that starts them. However that thread ends, the kernel kills them
    /// (`PR_SET_PDEATHSIG` of `prctl(2)`).
    WithThread,
    /// Until somebody ends them.
    OnTheirOwn,
}

/// A server process. It is identified by its PID and its start time, so no other process is taken
/// for it.
pub struct Server {
    name: &'static str,
    log: PathBuf,
    pid: Pid,
    start: u64,
    /// The process to wait for, if this process is its parent.
    child: Mutex<Option<Child>>,
}

/// A server that is about to be started.
pub(super) struct Start {
    name: &'static str,
    log: PathBuf,
    command: Command,
}

impl Start {
    pub(super) fn new(name: &'static str, program: &Path, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(directory);
        Self {
            name,
            log: log(directory, name),
            command,
        }
    }

    pub(super) fn flag(mut self, name: &str, value: impl Into<OsString>) -> Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value.into());
        self.command.arg(flag);
        self
    }

    pub(super) fn start(mut self, lives: Lives) -> Result<Server> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)?;
        self.command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the process that started us. We end the servers in our own order.
            .process_group(0);
        if lives == Lives::WithThread {
            end_with_this_thread(&mut self.command);
        }
        let spawned = self.command.spawn();
        let child = spawned.map_err(|error| -> Error {
            format!("cannot start {:?}: {error}", self.command.get_program()).into()
        })?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let start = start_time(pid).ok_or("a process of ours is not in /proc")?;
        Ok(Server {
            name: self.name,
            log: self.log,
            pid,
            start,
            child: Mutex::new(Some(child)),
        })
    }
}

impl Server {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it runs. A stopped process does run.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    /// Sends SIGSTOP: the server answers no more, and its connections stay open.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Sends SIGCONT.
    pub fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends SIGKILL, and waits until the server is gone. Succeeds if it is gone already.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let mut child = self
            .child
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            let _ = child.wait();
        }
        while self.is_alive() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// An error that says what went wrong, with the end of the server's log.
    pub(super) fn failure(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(15)..];
        format!(
            "{} {what}; the end of its log:\n{}",
            self.name,
            end.join("\n")
        )
        .into()
    }

    /// The facts by which a later process finds the server.
    pub(super) fn saved(&self) -> Value {
        json!({"pid": self.pid(), "start": self.start, "boot": boot_id()})
    }

    /// The server that an earlier process started; none if this was not [`saved`](Self::saved).
    pub(super) fn from_saved(name: &'static str, directory: &Path, saved: &Value) -> Option<Self> {
        let pid = i32::try_from(saved["pid"].as_i64()?).ok()?;
        let same_boot = saved["boot"].as_str()? == boot_id();
        Some(Self {
            name,
            log: log(directory, name),
            pid: Pid::from_raw(pid),
            // PIDs and start times from another boot mean nothing. Such a server is never found.
            start: if same_boot {
                saved["start"].as_u64()?
            } else {
                u64::MAX
            },
            child: Mutex::new(None),
        })
    }

    fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end at this moment. Our child then stays a zombie and keeps its PID. The PID
            // of another process is not used again so soon.
            let _ = signal::kill(self.pid, signal);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

fn log(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.log"))
}

fn end_with_this_thread(command: &mut Command) {
    let parent = unistd::getpid();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before this process asked for the signal.
        if unistd::getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::other("the parent is gone"))
        }
    };
    // SAFETY: prctl and getppid are only system calls: they allocate nothing and take no lock,
    // signal-safety(7).
    unsafe { command.pre_exec(hook) };
}

/// The 22nd field of `/proc/PID/stat`, `proc_pid_stat(5)`; none if the process is gone, or a
/// zombie.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if ["Z", "X"].contains(&state) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}
