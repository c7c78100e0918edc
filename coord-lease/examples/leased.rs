//! What the command lines of lockheed and cmlock share, by itself. What the tests run.
//!
//! - `run CMD...` runs a command under a lease without an end. From then on, `hour` on standard
//!   input gives the lease an hour, and `lost` takes it away. In the end it prints the status, and
//!   whether the lease was lost and the command is to run again.
//! - `late CMD...` does the same after a TERM that came before.
//! - `signals` waits for a signal.
//! - `wait` shows a wait for the locks `a` and `b`. For each line on standard input, it waits for
//!   `a` because of that. In the end it has acquired both, and exits at once.
//! - `descriptors COUNT` starts the runtime with this many descriptors left, and `threads` with no
//!   memory left for a thread.
//! - `init`, as PID 1, inherits an orphan and waits until it is gone.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{self, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use coord_core::{Status, cli::Failure};
use coord_lease::{
    BootInstant, LeaseLost, LeaseState, LeaseWatch, LeasedCommand, Signals, WaitReport, block_on,
    not_started,
};
use coord_process::supervise::{Guard, Plan};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, raise},
    },
    unistd::{SysconfVar, sysconf},
};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let done = match what.to_str() {
        Some("run") => run(rest, false),
        Some("late") => run(rest, true),
        Some("signals") => signals(),
        Some("wait") => wait(),
        Some("descriptors") => limited(leave_descriptors(&rest[0])),
        Some("threads") => limited(leave_little_memory()),
        Some("init") => init(),
        _ => Err(Failure::usage(format!("{what:?} is not known"))),
    };
    let status = done.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        failure.status()
    });
    status.into()
}

fn run(command: Vec<OsString>, is_late: bool) -> Result<Status, Failure> {
    // Before the runtime, which has threads.
    let guard = Guard::start(Plan::new(command)).map_err(not_started)?;
    block_on(async {
        let signals = Signals::catch()?;
        if is_late {
            raise(Signal::SIGTERM).map_err(io::Error::from)?;
            signals.clone().came().await;
        }
        let (keeper, lease) = LeaseWatch::new(LeaseState::Held(None));
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                keeper.send_replace(match &*line {
                    "hour" => LeaseState::Held(Some(BootInstant::now() + hour())),
                    _ => LeaseState::Lost(LeaseLost::Taken),
                });
            }
        });
        let vars = [("LEASED", "yes")];
        let ended = LeasedCommand::run(guard, &lease, vars, &signals).await;
        let is_lost = ended.is_lost;
        let (status, again) = match ended.runs_again() {
            Ok(()) => (Status::DONE, "again"),
            Err(status) => (status?, "over"),
        };
        println!("{} {again}", if is_lost { "lost" } else { "kept" });
        Ok(status)
    })
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

fn signals() -> Result<Status, Failure> {
    block_on(async {
        let signals = Signals::catch()?;
        println!("ready");
        signals.clone().came().await;
        Ok(signals.status().unwrap_or(Status::DONE))
    })
}

fn wait() -> Result<Status, Failure> {
    let report = WaitReport::start("leased", ["a", "b"], None, true);
    for why in io::stdin().lines() {
        report.of("a").waiting(why?);
    }
    report.acquired_all();
    process::exit(0)
}

fn limited(limit: io::Result<()>) -> Result<Status, Failure> {
    limit?;
    block_on(async { Ok(Status::DONE) })
}

fn leave_descriptors(count: &OsString) -> io::Result<()> {
    let count = count.to_str().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(usize::MAX);
    // SAFETY: nothing is done with a number that is no descriptor but ask whether it is one.
    let is_free = |fd: &i32| unsafe { nix::libc::fcntl(*fd, nix::libc::F_GETFD) } < 0;
    let last = (0..).filter(is_free).take(count).last().unwrap_or(0);
    let limit = u64::try_from(last + 1).unwrap_or(u64::MAX);
    Ok(setrlimit(
        Resource::RLIMIT_NOFILE,
        limit,
        getrlimit(Resource::RLIMIT_NOFILE)?.1,
    )?)
}

/// A thread's stack takes two MiB.
fn leave_little_memory() -> io::Result<()> {
    let sizes = fs::read_to_string("/proc/self/statm")?;
    let pages = sizes
        .split(' ')
        .next()
        .and_then(|size| size.parse::<u64>().ok());
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| u64::try_from(size).ok());
    let limit = pages.unwrap_or(0) * page.unwrap_or(0) + (1 << 20);
    Ok(setrlimit(Resource::RLIMIT_AS, limit, limit)?)
}

/// The orphan is in another session, so it is nobody's child that is waited for.
fn init() -> Result<Status, Failure> {
    block_on(async {
        let mut shell = Command::new("setsid");
        shell.args(["sh", "-c", "exec 3<&0; cat <&3 >/dev/null & echo $!"]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut orphan = String::new();
        let said = shell.stdout.take().map(BufReader::new);
        said.map_or(Ok(0), |mut said| said.read_line(&mut orphan))?;
        let stdin = shell.stdin.take();
        shell.wait()?;
        drop(stdin);
        let orphan = PathBuf::from(format!("/proc/{}", orphan.trim()));
        let until = Instant::now() + Duration::from_secs(60);
        while orphan.exists() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(if orphan.exists() {
            Status::NO
        } else {
            Status::DONE
        })
    })
}
