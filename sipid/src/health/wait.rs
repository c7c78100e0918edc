//! The wait itself: polls each target at once, and then again until it is healthy.

use std::{
    panic::resume_unwind,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use log::{debug, info};

#[cfg(feature = "tls")]
use super::tls::Trust;
use super::{
    Error, Kind, Probe, Target, Unhealthy,
    ask::Asker,
    command,
    connect::Connector,
    lookup::Lookups,
    reason::{Reason, phase},
    target::{What, check_socket},
    watch::Watch,
};
use crate::PidFile;

/// The minimum time limit of a single try.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// What all targets of a wait share.
struct Wait<'a> {
    probe: &'a Probe,
    watch: Arc<Watch>,
    deadline: Instant,
    #[cfg(feature = "tls")]
    trust: Trust,
}

impl Probe {
    /// Polls each target at once, and then again until it was healthy.
    ///
    /// With several targets there is a thread for each. Name lookups have their own threads, which
    /// may outlive the wait.
    ///
    /// # Errors
    /// `ETIMEDOUT` when the time is over; if this machine lacked something all the while, its
    /// number instead, such as `EMFILE`, or `EAGAIN` for a thread; `ESRCH` when the watched process
    /// has ended; those of the pidfile and of the certificates' files; `EINVAL` for an invalid
    /// proxy.
    pub fn wait(&self) -> Result<(), Error> {
        let wait = Wait::start(self)?;
        let is_there = wait.watch.wait_for_process(wait.deadline);
        let unhealthy: Vec<Unhealthy> = match (&self.watched, &self.targets[..]) {
            (Some(file), targets) if !is_there => not_asked(targets, file),
            (_, [target]) => wait.ask_until_healthy(target).err().into_iter().collect(),
            (_, targets) => wait.ask_all(targets),
        };
        match &self.watched {
            _ if unhealthy.is_empty() => Ok(()),
            Some(pidfile) if wait.watch.is_gone() => {
                Err(Kind::Gone(pidfile.path().to_owned()).into())
            }
            _ => Err(Kind::NotHealthy(unhealthy).into()),
        }
    }

    /// Rejects targets that can never work.
    fn check(&self) -> Result<(), Kind> {
        if let Some(path) = &self.unix_socket {
            let shown = format!("unix:{}", path.display());
            check_socket(path).map_err(|why| Kind::BadTarget(shown, why))?;
        }
        for target in &self.targets {
            match &target.0 {
                What::Http(url) if self.unix_socket.is_none() => {
                    self.proxies.of(url).map_err(Kind::BadProxy)?;
                }
                What::Command(command) => command::check(&command[0]).map_err(|error| {
                    Kind::Command(command[0].to_string_lossy().into_owned(), error)
                })?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Wait<'a> {
    fn start(probe: &'a Probe) -> Result<Self, Error> {
        let deadline = Instant::now() + probe.timeout;
        probe.check()?;
        #[cfg(not(feature = "tls"))]
        if let Some(path) = &probe.ca_file {
            let unsupported = std::io::ErrorKind::Unsupported.into();
            return Err(Kind::Pem("use the CA file", path.clone(), unsupported).into());
        }
        Ok(Self {
            probe,
            #[cfg(feature = "tls")]
            trust: Trust::of(probe)?,
            watch: Arc::new(Watch::new(probe.watched.clone()).map_err(Kind::PidFile)?),
            deadline,
        })
    }

    /// Polls all targets in parallel, and returns those that were not healthy, in their order.
    fn ask_all(&self, targets: &[Target]) -> Vec<Unhealthy> {
        thread::scope(|scope| {
            let start = |target| {
                let ask = move || self.ask_until_healthy(target).err();
                let thread = thread::Builder::new().spawn_scoped(scope, ask);
                thread.map_err(|error| {
                    let reason = Reason::lacking("start a thread for this target", error);
                    unhealthy(target, 0, Some(reason))
                })
            };
            let started: Vec<_> = targets.iter().map(start).collect();
            let outcome = |thread: Result<ScopedJoinHandle<'_, _>, Unhealthy>| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(unhealthy) => Some(unhealthy),
            };
            started.into_iter().filter_map(outcome).collect()
        })
    }

    fn ask_until_healthy(&self, target: &Target) -> Result<(), Unhealthy> {
        let mut asker = Asker::new(Connector {
            probe: self.probe,
            watch: self.watch.clone(),
            #[cfg(feature = "tls")]
            trust: &self.trust,
            lookups: Lookups::default(),
        });
        let mut pause = self.probe.frequency;
        let mut attempts = 0;
        let mut last: Option<Reason> = None;
        loop {
            attempts += 1;
            let started = Instant::now();
            let limit = (started + pause.max(SHORTEST_LIMIT)).min(self.deadline);
            match asker.ask(&target.0, limit) {
                Ok(()) => {
                    info!("{target} is healthy after {attempts} attempts");
                    return Ok(());
                }
                // If the end of the wait cuts the last try short, its reason is less useful than
                // the previous one.
                Err(Reason::Slow(_)) if limit == self.deadline && last.is_some() => {}
                Err(reason) => {
                    debug!("{target}, attempt {attempts}: {reason}");
                    last = Some(reason);
                }
            }
            let next = (started + pause).min(self.deadline);
            if !self.watch.sleep(next) || Instant::now() >= self.deadline {
                return Err(unhealthy(target, attempts, last));
            }
            pause = (pause * 2)
                .min(self.probe.slowest)
                .max(self.probe.frequency);
        }
    }
}

fn not_asked(targets: &[Target], file: &PidFile) -> Vec<Unhealthy> {
    let file = file.path();
    let reason = || Reason::failed(&format!("{file:?} named no running process"));
    targets
        .iter()
        .map(|target| unhealthy(target, 0, Some(reason())))
        .collect()
}

fn unhealthy(target: &Target, attempts: u64, last: Option<Reason>) -> Unhealthy {
    let reason = last.unwrap_or(Reason::Slow(phase::ANSWER));
    Unhealthy {
        target: target.to_string(),
        attempts,
        reason: reason.to_string(),
        errno: reason.errno(),
    }
}
