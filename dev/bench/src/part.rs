//! Programs that take part in a measurement: they report when they began, ended or were notified.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use clap::Subcommand;
use coord_kube::{ClientArgs, Cluster};
use lockheed::{KubeStore, Lock, MemoryStore};
use nix::{
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{SigSet, Signal, kill},
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::Result;

/// How long a lock is held.
pub(crate) const HELD: Duration = Duration::from_millis(150);

/// How long a holder stays away after its release. That is longer than the next one needs to
/// acquire the lock, and shorter than the lock is held, so somebody always waits.
pub(crate) const AWAY: Duration = Duration::from_millis(50);

/// The length of leases that `lockheed run` uses.
const LEASE: Duration = Duration::from_secs(30);

/// The directory of a contest, with its log and the files `go` and `stop`.
#[derive(Clone, Debug)]
pub(crate) struct Place(pub(crate) PathBuf);

#[derive(Subcommand)]
pub(crate) enum Part {
    /// Hold a lock for a while, and record when that began and ended
    Section {
        place: PathBuf,
        /// Hold it until killed
        #[arg(long)]
        for_ever: bool,
    },
    /// Contend for a lock in ConfigMaps, through the library, as this many clients
    Contend {
        place: PathBuf,
        #[arg(long)]
        kubeconfig: PathBuf,
        #[arg(long, default_value_t = 1)]
        clients: usize,
        #[arg(long)]
        fair: bool,
    },
    /// Hand on a lock in memory this many times: only the locking logic
    Engine { hand_offs: usize },
    /// Wait for TERM, and report when it came
    Told,
    /// Report when TERM comes, and end at USR1
    EndsLate,
    /// Wait for an entry in a directory with nothing but inotify, and report when it came
    Inotify { directory: PathBuf },
    /// The same with two more processes: it wakes one, and that one sends TERM to another
    InotifyChain { directory: PathBuf },
    /// Send TERM to a process when the standard input ends
    SendTerm { pid: i32 },
}

impl Part {
    pub(crate) fn run(self) -> Result {
        match self {
            Self::Section { place, for_ever } => section(&Place(place), for_ever),
            Self::Contend {
                place,
                kubeconfig,
                clients,
                fair,
            } => contend(&Place(place), &kubeconfig, clients, fair),
            Self::Engine { hand_offs } => engine(hand_offs),
            Self::Told => told(),
            Self::EndsLate => ends_late(),
            Self::Inotify { directory } => inotify(&directory),
            Self::InotifyChain { directory } => chain(&directory),
            Self::SendTerm { pid } => {
                io::copy(&mut io::stdin(), &mut io::sink())?;
                Ok(kill(Pid::from_raw(pid), Signal::SIGTERM)?)
            }
        }
    }
}

/// Nanoseconds of a clock that all processes share.
pub(crate) fn now() -> Result<u64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    Ok(u64::try_from(now.as_nanos())?)
}

impl Place {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    pub(crate) fn make(&self, name: &str) -> Result {
        Ok(fs::write(self.0.join(name), "")?)
    }

    /// Writes one line in one piece, even if others write too: `O_APPEND` of open(2).
    pub(crate) fn log(&self, what: &str) -> Result {
        let mut log = OpenOptions::new();
        let mut log = log.create(true).append(true).open(self.0.join("log"))?;
        let line = format!("{what} {} {}\n", now()?, std::process::id());
        Ok(log.write_all(line.as_bytes())?)
    }

    /// The times of the hand-offs so far, from the end of a section to the start of the next.
    pub(crate) fn hand_offs(&self) -> Result<Vec<u64>> {
        let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
        let mut ended = None;
        let mut times = Vec::new();
        for line in log.lines() {
            let mut words = line.split(' ');
            let what = words.next().unwrap_or_default();
            let time: u64 = words.next().unwrap_or_default().parse()?;
            match what {
                "end" => ended = Some(time),
                _ => times.extend(ended.take().map(|ended| time.saturating_sub(ended))),
            }
        }
        Ok(times)
    }
}

fn section(place: &Place, for_ever: bool) -> Result {
    place.log("begin")?;
    while for_ever || !place.has("go") {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !place.has("stop") {
        std::thread::sleep(HELD);
    }
    place.log("end")
}

fn contend(place: &Place, kubeconfig: &Path, clients: usize, fair: bool) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for number in 0..clients {
            let arguments = ClientArgs {
                kubeconfig: Some(kubeconfig.to_owned()),
                ..ClientArgs::default()
            };
            let cluster = Cluster::connect(&arguments, "bench/0").await?;
            let store = KubeStore::of(cluster);
            tasks.push(tokio::spawn(contender(store, number, fair, place.clone())));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn contender(store: KubeStore, number: usize, fair: bool, place: Place) -> Result {
    while !place.has("stop") {
        let lock = Lock::new(store.clone(), "contest".parse()?)
            .id(format!("contender-{number}"))
            .duration(LEASE)
            .renew_interval(LEASE / 3);
        let lock = if fair { lock.fair() } else { lock };
        let held = lock.acquire().await?;
        place.log("begin")?;
        while !place.has("go") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !place.has("stop") {
            tokio::time::sleep(HELD).await;
        }
        place.log("end")?;
        held.release().await?;
        tokio::time::sleep(AWAY).await;
    }
    Ok(())
}

/// Two contenders in a single thread, which does everything.
fn engine(hand_offs: usize) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = MemoryStore::new();
        let lock = |number: usize| -> Result<Lock<MemoryStore>> {
            let lock = Lock::new(store.clone(), "contest".parse()?);
            Ok(lock.id(["one", "other"][number % 2]).duration(LEASE))
        };
        let mut held = lock(0)?.acquire().await?;
        for number in 1..=hand_offs {
            let next = lock(number)?;
            let mut next = std::pin::pin!(next.acquire());
            // Lets it start to wait.
            let waits = tokio::time::timeout(Duration::ZERO, &mut next).await;
            if waits.is_ok() {
                return Err("a lock that is held was acquired".into());
            }
            held.release().await?;
            held = next.await?;
        }
        Ok(held.release().await?)
    })
}

fn told() -> Result {
    let term = blocked(Signal::SIGTERM)?;
    say("ready")?;
    term.wait()?;
    say(&now()?.to_string())
}

fn ends_late() -> Result {
    let (term, end) = (blocked(Signal::SIGTERM)?, blocked(Signal::SIGUSR1)?);
    say("ready")?;
    term.wait()?;
    say("told")?;
    end.wait()?;
    Ok(())
}

/// Blocks the signal, so that it stays pending until somebody takes it.
fn blocked(signal: Signal) -> Result<SigSet> {
    let mut set = SigSet::empty();
    set.add(signal);
    set.thread_block()?;
    Ok(set)
}

fn watch(directory: &Path) -> Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(directory, AddWatchFlags::IN_CREATE)?;
    Ok(inotify)
}

fn inotify(directory: &Path) -> Result {
    let inotify = watch(directory)?;
    say("ready")?;
    inotify.read_events()?;
    say(&now()?.to_string())
}

/// The least that a follower, its guard and CMD can do.
fn chain(directory: &Path) -> Result {
    let inotify = watch(directory)?;
    let own = std::env::current_exe()?;
    let mut told = Command::new(&own).arg("told").spawn()?;
    let mut sender = Command::new(&own);
    sender.arg("send-term").arg(told.id().to_string());
    let mut sender = sender.stdin(Stdio::piped()).spawn()?;
    inotify.read_events()?;
    drop(sender.stdin.take());
    sender.wait()?;
    told.wait()?;
    Ok(())
}

fn say(line: &str) -> Result {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
