//! Loops of real processes, one thread each.

mod exitdir;
mod lockpipe;
mod locks;
mod sipid;

use std::{sync::atomic::Ordering, thread, time::Duration};

pub(crate) use self::locks::{LOCKS, Lock, pod};
use crate::{section::now, world::World};

type Round = Box<dyn FnMut(&World, &mut fastrand::Rng) -> bool + Send>;

/// A loop that runs one round after another, until nobody may begin anything any more.
pub(crate) struct Workload {
    pub(crate) name: String,
    /// Whether the round served everybody it was for.
    round: Round,
}

/// The workloads of all tools.
pub(crate) fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    let mut add = |name: String, round: Round| all.push(Workload { name, round });
    for lock in &LOCKS {
        for contender in 0..lock.contenders {
            let round = move |world: &World, random: &mut fastrand::Rng| {
                locks::round(lock, contender, world, random)
            };
            add(format!("{}-{contender}", lock.name), Box::new(round));
        }
    }
    add("sipid-kill".to_owned(), Box::new(sipid::kill));
    add("sipid-reuse".to_owned(), Box::new(sipid::reuse));
    for number in 0..2 {
        add(format!("exitdir-{number}"), Box::new(exitdir::round));
        add(format!("lockpipe-{number}"), Box::new(lockpipe::round));
    }
    all
}

impl Workload {
    /// Runs until everything is over. Calls `served` for each round that began after the faults and
    /// served everybody.
    pub(crate) fn run(mut self, world: &World, mut random: fastrand::Rng, served: impl Fn(&str)) {
        while !world.over.load(Ordering::Relaxed) {
            let is_calm = world.is_calm(now());
            if (self.round)(world, &mut random) && is_calm {
                served(&self.name);
            }
            thread::sleep(Duration::from_millis(random.u64(50..800)));
        }
    }
}
