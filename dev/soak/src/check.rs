//! Checks whether what happened to the locks was allowed.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    process::Command,
};

use serde_json::json;

use crate::{
    workloads::Lock,
    world::{World, lock},
};

/// One try of a contender to hold a lock.
#[derive(Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) lock: &'static Lock,
    pub(crate) id: u64,
    pub(crate) is_shared: bool,
    pub(crate) call: i64,
    pub(crate) done: i64,
    pub(crate) status: Option<i32>,
}

/// A restore of etcd: from the end of etcd until all leases that existed then are over.
#[derive(Clone, Copy)]
pub(crate) struct Restore {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// The lines that a critical section wrote.
#[derive(Default)]
struct Section {
    token: u64,
    begun: i64,
    ended: Option<i64>,
}

/// How a lock was used, for people.
pub(crate) struct Summary {
    pub(crate) name: &'static str,
    pub(crate) acquired: usize,
    pub(crate) lost: usize,
    /// The longest wait of those that were served, in seconds.
    pub(crate) worst_wait: f64,
    /// How many held the lock while it was restored.
    pub(crate) excused: usize,
}

/// Reports violations, and sums up each lock.
pub(crate) fn all(
    world: &World,
    locks: &'static [Lock],
    restores: &[Restore],
    checker: &Path,
) -> Vec<Summary> {
    let log = fs::read_to_string(world.out.join("sections")).unwrap_or_else(|error| {
        world.violation(&format!("the log of sections cannot be read: {error}"));
        String::new()
    });
    let mut sections: HashMap<u64, Section> = HashMap::new();
    let mut overlaps = Vec::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u64> = words
            .iter()
            .skip(1)
            .filter_map(|it| it.parse().ok())
            .collect();
        let [hold, token, time] = numbers[..] else {
            world.violation(&format!("the log of sections has {line:?}"));
            continue;
        };
        let section = sections.entry(hold).or_default();
        if words[0] == "end" {
            section.ended = Some(time.cast_signed());
            continue;
        }
        if words[0] == "overlap" {
            overlaps.push((hold, time.cast_signed()));
        }
        section.token = token;
        section.begun = time.cast_signed();
    }
    let holds = lock(&world.holds).clone();
    for (hold, at) in overlaps {
        let name = holds.iter().find(|it| it.id == hold);
        let is_excused = name.is_some_and(|it| epoch(it.lock, restores, at).is_none());
        if is_excused {
            world.count("overlaps of who held when etcd was put back");
        } else {
            let name = name.map_or("?", |it| it.lock.name);
            world.violation(&format!(
                "{name}: hold {hold} overlaps with another at {at}"
            ));
        }
    }
    check_histories(world, &holds, &sections, restores, checker);
    let sum = |this: &'static Lock| {
        let of_this = || holds.iter().filter(move |it| it.lock.name == this.name);
        let served = of_this().filter_map(|it| Some((it, sections.get(&it.id)?)));
        let waits = served
            .clone()
            .map(|(hold, section)| section.begun - hold.call);
        Summary {
            name: this.name,
            acquired: served.clone().count(),
            lost: of_this().filter(|it| it.status == Some(122)).count(),
            #[allow(clippy::cast_precision_loss, reason = "for people")]
            worst_wait: waits.max().unwrap_or(0) as f64 / 1e9,
            excused: served
                .filter(|(it, section)| epoch(it.lock, restores, section.begun).is_none())
                .count(),
        }
    };
    locks.iter().map(sum).collect()
}

/// How often the lock had been restored; none while its holders may not know of a restore yet.
fn epoch(lock: &Lock, restores: &[Restore], moment: i64) -> Option<usize> {
    if !lock.is_in_cluster() {
        return Some(0);
    }
    let is_during = restores.iter().any(|it| (it.from..it.to).contains(&moment));
    (!is_during).then(|| restores.iter().filter(|it| it.to <= moment).count())
}

/// Writes down each lock's history between restores, and lets Porcupine judge it.
fn check_histories(
    world: &World,
    holds: &[Hold],
    sections: &HashMap<u64, Section>,
    restores: &[Restore],
    checker: &Path,
) {
    let mut lines = String::new();
    for hold in holds {
        // A contender that was never seen as a holder may have held the lock at any time. That fits
        // every history.
        let Some(section) = sections.get(&hold.id) else {
            continue;
        };
        let Some(epoch) = epoch(hold.lock, restores, section.begun) else {
            continue;
        };
        // It releases the lock after its work, or at any time after it was last seen at work.
        let over = section.ended.unwrap_or(section.begun);
        let is_known = hold.status == Some(0) && section.ended.is_some();
        let given_back = is_known.then_some(hold.done);
        let steps = [
            (true, hold.call, Some(section.begun)),
            (false, over, given_back),
        ];
        for (acquire, call, done) in steps {
            let step = json!({"lock": format!("{}, epoch {epoch}", hold.lock.name), "slots": hold.lock.slots,
                "shared": hold.is_shared, "acquire": acquire, "hold": hold.id, "token": section.token,
                "call": call, "return": done});
            lines += &format!("{step}\n");
        }
    }
    let path = world.out.join("history.json");
    let judged = fs::write(&path, lines)
        .and_then(|()| Command::new(checker).stdin(File::open(&path)?).output());
    match judged {
        Ok(judged) => {
            let said = String::from_utf8_lossy(&judged.stdout);
            for line in said.lines() {
                if line.ends_with(": Ok") {
                    world.say(&format!("linearizable: {line}"));
                } else {
                    world.violation(&format!("not linearizable: {line}"));
                }
            }
            if judged.status.code() != Some(0) && said.lines().all(|line| line.ends_with(": Ok")) {
                let said = String::from_utf8_lossy(&judged.stderr);
                world.violation(&format!("the histories could not be judged: {said}"));
            }
        }
        Err(error) => world.violation(&format!("the histories could not be judged: {error}")),
    }
}
