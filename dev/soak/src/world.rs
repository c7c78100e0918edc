//! What workloads, faults and checkers share.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use testkit::WallClocks;

use crate::{check::Hold, section::now};

/// How long anything may take after the faults: longer than leases, back-offs and stops.
pub(crate) const BOUND: Duration = Duration::from_secs(90);

/// Statuses that no fault excuses: wrong usage, a bug, a panic, an abort and an invalid memory
/// access.
const BUGS: [i32; 5] = [64, 70, 101, 134, 139];

pub(crate) struct World {
    /// The directory of the tools.
    pub(crate) binaries: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// The directory of the logs.
    pub(crate) out: PathBuf,
    /// A small disk of our own.
    pub(crate) disk: PathBuf,
    /// Kubeconfigs for lockheed and for cmlock: one past the proxy and one through it.
    pub(crate) kubeconfigs: [[PathBuf; 2]; 2],
    /// The wall clocks of the clients.
    pub(crate) clocks: WallClocks,
    /// The cgroup of all clients, if there may be one.
    pub(crate) cgroup: Option<PathBuf>,
    /// The number of descriptors that a new client may have; 0 for the usual number.
    pub(crate) descriptors: AtomicU64,
    /// When the faults ended; 0 until then.
    pub(crate) calm: AtomicI64,
    /// Nobody may begin anything any more.
    pub(crate) over: AtomicBool,
    /// The result of each hold.
    pub(crate) holds: Mutex<Vec<Hold>>,
    clients: Mutex<Vec<Victim>>,
    violations: Mutex<Vec<String>>,
    counts: Mutex<Vec<(String, u64)>>,
    output: Mutex<File>,
    begun: Instant,
    number: AtomicU64,
}

/// A running client.
#[derive(Clone, Copy)]
struct Victim {
    pid: i32,
    /// At most one process of each tree is hit: the tools do not promise anything if the client and
    /// its guard are killed at once.
    is_hit: bool,
}

/// A client that we started. It is killed when this is dropped.
pub(crate) struct Client<'a> {
    world: &'a World,
    child: Child,
    name: String,
}

impl World {
    pub(crate) fn new(binaries: &Path, out: &Path, disk: &Path) -> io::Result<Self> {
        let output = File::create(out.join("soak.log"))?;
        Ok(Self {
            binaries: binaries.to_owned(),
            program: std::env::current_exe()?,
            out: out.to_owned(),
            disk: disk.to_owned(),
            kubeconfigs: Default::default(),
            clocks: WallClocks::set_up(),
            cgroup: None,
            descriptors: AtomicU64::new(0),
            calm: AtomicI64::new(0),
            over: AtomicBool::new(false),
            holds: Mutex::default(),
            clients: Mutex::default(),
            violations: Mutex::default(),
            counts: Mutex::default(),
            output: Mutex::new(output),
            begun: Instant::now(),
            number: AtomicU64::new(1),
        })
    }

    /// Prints and logs a line for people, with the time since the beginning.
    pub(crate) fn say(&self, text: &str) {
        let line = format!("{:8.2} {text}", self.begun.elapsed().as_secs_f64());
        println!("{line}");
        let _ = writeln!(lock(&self.output), "{line}");
    }

    /// Reports a broken promise.
    pub(crate) fn violation(&self, text: &str) {
        self.say(&format!("VIOLATION: {text}"));
        lock(&self.violations).push(text.to_owned());
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn count(&self, what: &str) {
        let mut counts = lock(&self.counts);
        match counts.iter_mut().find(|(known, _)| known == what) {
            Some((_, count)) => *count += 1,
            None => counts.push((what.to_owned(), 1)),
        }
    }

    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let mut counts = lock(&self.counts).clone();
        counts.sort();
        counts
    }

    /// Whether this moment is after the faults.
    pub(crate) fn is_calm(&self, moment: i64) -> bool {
        let calm = self.calm.load(Ordering::Relaxed);
        calm != 0 && moment >= calm
    }

    /// A number that was not used before.
    pub(crate) fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// The command of a tool.
    pub(crate) fn tool(&self, name: &str) -> Command {
        Command::new(self.binaries.join(name))
    }

    /// Starts a client in a clean environment, with the limits of this moment. Its output goes to
    /// the log with this name.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> io::Result<Client<'_>> {
        let log = self.out.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.disk.join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.clocks
            .of(command, &format!("clock-{}", self.next() % 3));
        let descriptors = self.descriptors.load(Ordering::Relaxed);
        if descriptors > 0 {
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
            let limit =
                move || setrlimit(Resource::RLIMIT_NOFILE, descriptors, most).map_err(Into::into);
            // SAFETY: setrlimit is async-signal-safe in practice: it is only a system call.
            unsafe { command.pre_exec(limit) };
        }
        if let Some(cgroup) = &self.cgroup {
            let mut processes = File::options()
                .write(true)
                .open(cgroup.join("cgroup.procs"))?;
            // SAFETY: one write to an open file.
            unsafe { command.pre_exec(move || processes.write_all(b"0")) };
        }
        let mut clients = lock(&self.clients);
        let child = command.spawn()?;
        clients.push(Victim {
            pid: child.id().cast_signed(),
            is_hit: false,
        });
        Ok(Client {
            world: self,
            child,
            name: name.to_owned(),
        })
    }

    /// Sends a signal to one of a client's processes: the client, its guard or what it runs.
    /// Returns which; none if there is no process to hit.
    pub(crate) fn hit(&self, random: &mut fastrand::Rng, signal: Signal) -> Option<i32> {
        let mut clients = lock(&self.clients);
        let mut whole: Vec<_> = clients.iter_mut().filter(|it| !it.is_hit).collect();
        if whole.is_empty() {
            return None;
        }
        let number = random.usize(..whole.len());
        let tree = tree(whole[number].pid);
        let pid = tree[random.usize(..tree.len())];
        whole[number].is_hit = true;
        kill(Pid::from_raw(pid), signal).ok().map(|()| pid)
    }

    /// Gives all running clients the usual number of descriptors.
    pub(crate) fn give_descriptors(&self) -> io::Result<()> {
        self.descriptors.store(0, Ordering::Relaxed);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        for pid in lock(&self.clients).iter().flat_map(|it| tree(it.pid)) {
            // SAFETY: the limit is only read, and nothing is written. A process that has ended is
            // an error.
            unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, ptr::null_mut()) };
        }
        Ok(())
    }
}

impl Client<'_> {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its status if it has ended, 128 + n for a signal.
    pub(crate) fn status(&mut self) -> Option<i32> {
        // Once it was waited for, its PID may belong to another process. Nobody may signal it by
        // then.
        let mut clients = lock(&self.world.clients);
        let status = self.child.try_wait().ok()??;
        clients.retain(|it| it.pid != self.child.id().cast_signed());
        drop(clients);
        let status = testkit::process::code(status);
        if BUGS.contains(&status) {
            let text = format!("{} ended with status {status}", self.name);
            self.world.violation(&text);
        }
        Some(status)
    }

    /// Waits for its end; none if it does not end in time. While there are faults, it may take any
    /// time, and afterwards no longer than the bound.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut since = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if !self.world.is_calm(now()) {
                since = Instant::now();
            }
            if since.elapsed() > BOUND {
                let text = format!("{}: {} does not end", self.name, shown(self.pid()));
                self.world.violation(&text);
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        lock(&self.world.clients).retain(|it| it.pid != self.child.id().cast_signed());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and all its descendants.
fn tree(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        let pid = all[next];
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        all.extend(children.split(' ').filter_map(|it| it.parse::<i32>().ok()));
        next += 1;
    }
    all
}

/// A process, described for people.
pub(crate) fn shown(pid: i32) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let waits = threads.into_iter().flatten().flatten();
    let waits = waits.map(|it| fs::read_to_string(it.path().join("wchan")).unwrap_or_default());
    let waits: Vec<String> = waits.collect();
    format!(
        "process {pid} in {waits:?} ({})",
        line.replace('\0', " ").trim()
    )
}

/// A panic of a thread leaves nothing half done that a lock protects here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
