//! Runs a command under the supervisor, for the tests: `supervise [OPTION VALUE]... CMD...`.
//!
//! - `--grace MS`, `--margin MS`, `--signal NAME`, `--orphans end|wait|leave`, `--kill-mode main`,
//!   `--rewrite FROM=TO`: as in a plan.
//! - `--keep FILE`: the guard holds an exclusive `flock(2)` on the file.
//! - In another thread: `--deadline MS` from now, which prints a line when it is set; `--end MS`
//!   from now, or `--end-on FIFO` when somebody writes to it.
//! - Without a thread: `--until FIFO` ends the command when something can be read from it,
//!   `--until-ms MS` after this time.

use std::{
    env,
    error::Error as _,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    process::ExitCode,
    thread,
    time::Duration,
};

use coord_core::{Status, signal_name};
use coord_process::supervise::{
    Condition, Ender, Error, Guard, KillMode, Orphans, Plan, Reason, Rewrite, boottime,
};
use nix::{
    fcntl::{Flock, FlockArg},
    libc,
};

#[derive(Default)]
struct Options {
    grace: Option<Duration>,
    deadline: Option<Duration>,
    end: Option<Duration>,
    end_on: Option<String>,
    keep: Option<String>,
    orphans: Orphans,
    margin: Duration,
    kill_mode: KillMode,
    rewrites: Vec<Rewrite>,
    signal: Option<i32>,
    until: Option<String>,
    until_ms: Option<Duration>,
}

/// Of `--until` and `--until-ms`.
struct Until {
    fifo: Option<File>,
    at: Option<Duration>,
}

impl Condition for Until {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fifo.iter().map(AsFd::as_fd).collect()
    }

    fn timeout(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_sub(boottime()))
    }

    fn check(&mut self) -> Option<Reason> {
        let written = |fifo: &mut File| fifo.read(&mut [0]).is_ok_and(|length| length > 0);
        let is_time = self.at.is_some_and(|at| at <= boottime());
        (is_time || self.fifo.as_mut().is_some_and(written))
            .then(|| Reason::new("it was time", Status::LOST))
    }
}

fn main() -> ExitCode {
    let status = run().unwrap_or_else(|error| {
        let cause = error.source().map(ToString::to_string);
        eprintln!("supervise: {error}: {}", cause.unwrap_or_default());
        error.status()
    });
    status.into()
}

fn run() -> Result<Status, Error> {
    let mut command: Vec<String> = env::args().skip(1).collect();
    let options = Options::take(&mut command);
    let plan = Plan::new(command)
        .grace(options.grace.unwrap_or(Duration::from_secs(5)))
        .margin(options.margin)
        .signal(options.signal.unwrap_or(libc::SIGTERM))
        .orphans(options.orphans)
        .kill_mode(options.kill_mode)
        .rewrites(options.rewrites.clone());
    let mut until = options.until();
    let guard = Guard::start(plan)?;
    if let Some(path) = &options.keep {
        let file = File::open(path).expect("the file can be opened");
        let lock = Flock::lock(file, FlockArg::LockExclusive).expect("the file can be locked");
        guard.keep(lock.as_fd())?;
        // Dropping it would unlock the file, which must stay locked in the guard.
        std::mem::forget(lock);
    }
    let mut running = guard.spawn([("SUPERVISED", "yes")])?;
    let ender = running.ender();
    if options.needs_a_thread() {
        thread::spawn(move || tell(&ender, &options));
    }
    Ok(running.wait_until(&mut until)?.status())
}

fn tell(ender: &Ender, options: &Options) {
    if let Some(deadline) = options.deadline {
        let told = ender.set_deadline(Some(boottime() + deadline));
        println!("deadline {told:?}");
    }
    if let Some(fifo) = &options.end_on {
        File::open(fifo).expect("the FIFO can be opened");
    }
    if let Some(end) = options.end {
        thread::sleep(end);
    }
    if options.end.is_some() || options.end_on.is_some() {
        ender.end(Reason::new("it was time", Status::LOST));
    }
}

impl Options {
    fn needs_a_thread(&self) -> bool {
        self.deadline.is_some() || self.end.is_some() || self.end_on.is_some()
    }

    fn until(&self) -> Until {
        let open = |path: &String| {
            let mut open = File::options();
            let fifo = open.read(true).custom_flags(libc::O_NONBLOCK).open(path);
            fifo.expect("the FIFO can be opened")
        };
        Until {
            fifo: self.until.as_ref().map(open),
            at: self.until_ms.map(|limit| boottime() + limit),
        }
    }

    fn take(arguments: &mut Vec<String>) -> Self {
        let mut options = Self::default();
        while arguments.first().is_some_and(|name| name.starts_with("--")) {
            let value = arguments.remove(1);
            let millis = || value.parse().map(Duration::from_millis).ok();
            match arguments.remove(0).as_str() {
                "--grace" => options.grace = millis(),
                "--deadline" => options.deadline = millis(),
                "--end" => options.end = millis(),
                "--end-on" => options.end_on = Some(value),
                "--margin" => options.margin = millis().unwrap_or_default(),
                "--kill-mode" if value == "main" => options.kill_mode = KillMode::Main,
                "--rewrite" => options
                    .rewrites
                    .push(value.parse().expect("it is a rewrite")),
                "--signal" => options.signal = signal_name::parse(&value).ok(),
                "--until" => options.until = Some(value),
                "--until-ms" => options.until_ms = millis(),
                "--keep" => options.keep = Some(value),
                "--orphans" if value == "wait" => options.orphans = Orphans::Wait,
                "--orphans" if value == "leave" => options.orphans = Orphans::Leave,
                _ => {}
            }
        }
        options
    }
}
