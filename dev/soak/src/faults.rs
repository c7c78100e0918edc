//! The faults, drawn from a seed: several at once, each for a while.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use apiserver::{Fault, Proxy, Result, cluster::Cluster};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{check::Restore, section::now, world::World};

/// The largest number of faults at once.
const AT_ONCE: usize = 4;

/// The longest lease, plus a margin for clocks with whole seconds and a busy machine.
const LEASE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ClientsKilled,
    ClientStopped,
    ApiserverStopped,
    ApiserverKilled,
    EtcdStopped,
    EtcdKilled,
    EtcdPutBack,
    RequestsFail,
    ConnectionsCut,
    CredentialsExpired,
    ServerClockWrong,
    ClocksStepped,
    DiskFull,
    PidsExhausted,
    DescriptorsExhausted,
}

use Kind::*;

/// Clients fail more often than servers.
const KINDS: [Kind; 19] = [
    ClientsKilled,
    ClientsKilled,
    ClientsKilled,
    ClientStopped,
    ClientStopped,
    ClientStopped,
    ApiserverStopped,
    ApiserverKilled,
    EtcdStopped,
    EtcdKilled,
    EtcdPutBack,
    RequestsFail,
    ConnectionsCut,
    CredentialsExpired,
    ServerClockWrong,
    ClocksStepped,
    DiskFull,
    PidsExhausted,
    DescriptorsExhausted,
];

/// A fault that lasts, and how to end it.
struct Active {
    kind: Kind,
    what: String,
    until: Instant,
    undo: Undo,
}

type Undo = Box<dyn FnOnce(&mut Faults<'_>) -> Result>;

/// Everything that can go wrong.
pub(crate) struct Faults<'a> {
    world: &'a World,
    pub(crate) cluster: Cluster,
    /// The proxies in front of the API server: lockheed's and cmlock's.
    proxies: [Proxy; 2],
    /// The files with their users' tokens.
    tokens: [PathBuf; 2],
    random: fastrand::Rng,
    active: Vec<Active>,
    pub(crate) restores: Vec<Restore>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(
        world: &'a World,
        cluster: Cluster,
        proxies: [Proxy; 2],
        tokens: [PathBuf; 2],
        random: fastrand::Rng,
    ) -> Self {
        Self {
            world,
            cluster,
            proxies,
            tokens,
            random,
            active: Vec::new(),
            restores: Vec::new(),
        }
    }

    /// Causes faults for this long, and then ends all that remain.
    pub(crate) fn run(&mut self, time: Duration) -> Result {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.end(|it| it.until <= Instant::now())?;
            let kind = KINDS[self.random.usize(..KINDS.len())];
            if self.active.len() < AT_ONCE && !self.active.iter().any(|it| it.kind.excludes(kind)) {
                self.begin(kind)?;
            }
            thread::sleep(Duration::from_millis(self.random.u64(100..1_200)));
        }
        self.end(|_| true)?;
        self.cluster.restart()
    }

    fn end(&mut self, is_over: impl Fn(&Active) -> bool) -> Result {
        let (over, rest) = self.active.drain(..).partition(is_over);
        self.active = rest;
        let over: Vec<Active> = over;
        for active in over {
            (active.undo)(self)?;
            self.world.say(&format!("end   {}", active.what));
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind) -> Result {
        let mut seconds = self.random.f32() * 8.0 + 0.5;
        if [ClientsKilled, ConnectionsCut].contains(&kind) {
            seconds = 0.0;
        }
        let Some((detail, undo)) = self.set(kind)? else {
            return Ok(());
        };
        let what = format!("{kind:?}{detail}");
        self.world.say(&format!("begin {what}"));
        self.world.count(&format!("fault {kind:?}"));
        self.active.push(Active {
            kind,
            what,
            until: Instant::now() + Duration::from_secs_f32(seconds),
            undo,
        });
        Ok(())
    }

    /// Causes a fault. Returns what it affects, and how to undo it; none if it is not possible now.
    fn set(&mut self, kind: Kind) -> Result<Option<(String, Undo)>> {
        let world = self.world;
        let proxy = self.random.usize(..2);
        let nothing: Undo = Box::new(|_| Ok(()));
        let restart: Undo = Box::new(|faults| faults.cluster.restart());
        let set: (String, Undo) = match kind {
            ClientsKilled => {
                let killed = (0..self.random.usize(1..4))
                    .filter_map(|_| world.hit(&mut self.random, Signal::SIGKILL));
                (format!(" {:?}", killed.collect::<Vec<_>>()), nothing)
            }
            ClientStopped => {
                let Some(pid) = world.hit(&mut self.random, Signal::SIGSTOP) else {
                    return Ok(None);
                };
                let undo = move |_: &mut Faults<'_>| {
                    // It may be gone: the guard kills a client that is stopped for too long.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
                    Ok(())
                };
                (format!(" {pid}"), Box::new(undo))
            }
            ApiserverStopped => {
                self.cluster.apiserver().stop();
                let undo = |faults: &mut Faults<'_>| {
                    faults.cluster.apiserver().cont();
                    Ok(())
                };
                (String::new(), Box::new(undo))
            }
            ApiserverKilled => {
                self.cluster.apiserver().kill();
                (String::new(), restart)
            }
            EtcdStopped => {
                self.cluster.etcd().stop();
                let undo = |faults: &mut Faults<'_>| {
                    faults.cluster.etcd().cont();
                    faults.cluster.restart()
                };
                (String::new(), Box::new(undo))
            }
            EtcdKilled => {
                self.cluster.etcd().kill();
                (String::new(), restart)
            }
            EtcdPutBack => {
                let backup = world.out.join(format!("backup-{}", self.restores.len()));
                self.cluster.back_up(&backup)?;
                let undo = move |faults: &mut Faults<'_>| {
                    let from = now();
                    faults.cluster.restore(&backup)?;
                    fs::remove_dir_all(&backup)?;
                    let to = now() + i64::try_from(LEASE.as_nanos())?;
                    faults.restores.push(Restore { from, to });
                    Ok(())
                };
                (String::new(), Box::new(undo))
            }
            RequestsFail => {
                let fault = match self.random.u32(..6) {
                    0 => Fault::Cut,
                    1 => Fault::CutAnswer,
                    2 => Fault::Silence,
                    3 => Fault::Answer(429, Some(1), String::new()),
                    4 => Fault::Answer(503, None, String::new()),
                    _ => Fault::Delay(Duration::from_millis(self.random.u64(100..3_000))),
                };
                self.proxies[proxy].set(fault.clone());
                let undo = move |faults: &mut Faults<'_>| {
                    faults.proxies[proxy].set(Fault::None);
                    Ok(())
                };
                (format!(" {fault:?}, proxy {proxy}"), Box::new(undo))
            }
            ConnectionsCut => {
                self.proxies[proxy].cut_open_connections();
                (format!(" proxy {proxy}"), nothing)
            }
            CredentialsExpired => {
                let token = format!("token-{}", world.next());
                self.proxies[proxy].require(&token);
                let undo = move |faults: &mut Faults<'_>| give(&faults.tokens[proxy], &token);
                (format!(" proxy {proxy}"), Box::new(undo))
            }
            ServerClockWrong => {
                // lockheed tolerates this difference between servers; cmlock does not, so its proxy
                // has none.
                let seconds = self.random.i64(-25..25);
                self.proxies[0].shift_date(seconds);
                let undo = |faults: &mut Faults<'_>| {
                    faults.proxies[0].shift_date(0);
                    Ok(())
                };
                (format!(" by {seconds} s"), Box::new(undo))
            }
            ClocksStepped => {
                let whose = format!("clock-{}", self.random.u32(..3));
                let seconds = self.random.i64(-7_200..7_200);
                world.clocks.set(&whose, seconds);
                let what = format!(" {whose} by {seconds} s");
                let undo = move |faults: &mut Faults<'_>| {
                    faults.world.clocks.set(&whose, 0);
                    Ok(())
                };
                (what, Box::new(undo))
            }
            DiskFull => {
                let path = world.disk.join("full");
                let mut file = File::create(&path)?;
                // The end is filled byte by byte, so that no room is left.
                for size in [65_536, 1] {
                    while file.write_all(&vec![b'x'; size]).is_ok() {}
                }
                (
                    String::new(),
                    Box::new(move |_| Ok(fs::remove_file(&path)?)),
                )
            }
            PidsExhausted => {
                let Some(cgroup) = world.cgroup.clone() else {
                    return Ok(None);
                };
                let now = fs::read_to_string(cgroup.join("pids.current"))?;
                let most = now.trim().parse::<u32>()? + self.random.u32(..6);
                let limit = cgroup.join("pids.max");
                fs::write(&limit, most.to_string())?;
                (
                    format!(" at {most}"),
                    Box::new(move |_| Ok(fs::write(&limit, "max")?)),
                )
            }
            DescriptorsExhausted => {
                let most = self.random.u64(4..30);
                world.descriptors.store(most, Ordering::Relaxed);
                let undo = |faults: &mut Faults<'_>| Ok(faults.world.give_descriptors()?);
                (format!(" at {most}"), Box::new(undo))
            }
        };
        Ok(Some(set))
    }
}

impl Kind {
    /// Whether one of the two would undo the other.
    fn excludes(self, other: Self) -> bool {
        const CLUSTER: [Kind; 5] = [
            ApiserverStopped,
            ApiserverKilled,
            EtcdStopped,
            EtcdKilled,
            EtcdPutBack,
        ];
        let both_are_in_cluster = CLUSTER.contains(&self) && CLUSTER.contains(&other);
        self == other && self != ClientStopped || both_are_in_cluster
    }
}

/// Replaces a user's token at once.
pub(crate) fn give(file: &PathBuf, token: &str) -> Result {
    let new = file.with_extension("new");
    fs::write(&new, token)?;
    Ok(fs::rename(new, file)?)
}
