//! Ending a tree: whom we have asked to end, and whom we kill.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::libc;

use crate::process::send_by_pidfd;

use super::{
    boottime,
    tree::{self, Descendant, Identity, Walk},
};

/// The longest time for one part of the killing, so that the dead are reaped in between.
const PART: Duration = Duration::from_millis(50);

/// How long we leave the asked processes alone, as a multiple of the time that finding them took,
/// and at most how long. They need the processor to end.
const REST: u32 = 3;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long killing may take, as a multiple of the time that asking took. The killed processes need
/// the processor once more to end, which takes five times as long on an idle machine.
const KILLING: u32 = 8;

/// `PIDFD_SIGNAL_PROCESS_GROUP` of `pidfd_send_signal(2)`, Linux 6.9.
const PROCESS_GROUP: u32 = 1 << 2;

/// Who has been asked to end, and how to reach them without another search.
#[derive(Debug)]
pub(crate) struct Hunt {
    /// When it began, in the unit of a process's start time.
    since: u64,
    asked: HashMap<Identity, Option<OwnedFd>>,
    /// How many more pidfds we may keep.
    room: usize,
    /// How long the longest search took.
    took: Duration,
    /// The earliest time for the next search.
    next: Duration,
}

/// Kills whoever is left, a part at a time.
#[derive(Default)]
pub(crate) struct Killing {
    /// The unfinished part of a walk down the tree.
    walk: Option<Walk>,
    /// Whether the walk has found anybody.
    found: bool,
}

impl Hunt {
    /// Starts with nobody asked; `room` is the number of pidfds that may be kept.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            since: tree::ticks_now(),
            asked: HashMap::new(),
            room,
            took: Duration::ZERO,
            next: Duration::ZERO,
        }
    }

    /// Sends the signal to every descendant that has not received it. It searches once and gives up
    /// at `until`. Call it again as long as some are left: a search can miss a process that is
    /// orphaned meanwhile.
    ///
    /// With `only`, the others are found, to be killed later, but not signalled. Processes below
    /// another guard are left to that guard's client, which passes the signal on. A process that
    /// started after the first were asked may be a reaction to the signal, such as the clean-up in
    /// a shell's trap. It is left to its parent while the parent is alive. If it is an orphan, it
    /// may have been forked just before its parent died of the signal, so it is asked.
    ///
    /// Does nothing while the last search is too recent, see [`REST`].
    pub(crate) fn ask(&mut self, signal: i32, only: Option<i32>, until: Duration) {
        let started = boottime();
        if started < self.next {
            return;
        }
        // Finds them all before it asks any, so that the asking does not change what it finds.
        let found = self.find(until);
        let first = self.asked.is_empty();
        for mut process in found.into_iter().filter(|process| !process.is_guard) {
            if self.is_new(&process, first) {
                if only.is_none_or(|only| only == process.identity.0) {
                    process.send(signal);
                }
                self.keep(&mut process);
            }
        }
        let now = boottime();
        let took = now.saturating_sub(started);
        self.took = self.took.max(took);
        self.next = now + (took * REST).min(LONGEST_REST);
    }

    /// How long before a deadline to begin with KILL.
    pub(crate) fn lead(&self) -> Duration {
        self.took * KILLING
    }

    /// Kills the asked processes by the pidfds that we kept.
    pub(crate) fn kill_known(&mut self) {
        for (identity, pidfd) in self.asked.drain() {
            if let Some(pidfd) = pidfd {
                tree::send(identity.0, Some(&pidfd), libc::SIGKILL);
            }
        }
    }

    /// Keeps no more pidfds than there is room for: later searches need descriptors too.
    fn find(&self, until: Duration) -> Vec<Descendant> {
        let walk = Walk::around_guards().take_while(|_| until > boottime());
        let limited = walk.enumerate().map(|(index, mut process)| {
            process.pidfd = process.pidfd.take().filter(|_| index < self.room);
            process
        });
        limited.collect()
    }

    fn is_new(&self, process: &Descendant, first: bool) -> bool {
        let counts = first || process.is_child || process.identity.1 < self.since;
        counts && !self.asked.contains_key(&process.identity)
    }

    fn keep(&mut self, process: &mut Descendant) {
        let of_child = || tree::open(process.identity.0).filter(|_| process.is_child);
        let pidfd = process.pidfd.take().or_else(of_child);
        let pidfd = pidfd.filter(|_| self.room > 0);
        if let Entry::Vacant(place) = self.asked.entry(process.identity) {
            self.room -= usize::from(pidfd.is_some());
            place.insert(pidfd);
        }
    }
}

/// Kills a process group by the pidfd of the process that created it. This needs no search in
/// `/proc` and cannot hit a later group with the same number. A process that forks while the group
/// is being killed is killed too. Returns false if the kernel does not support it.
pub(crate) fn kill_group(leader: &OwnedFd) -> bool {
    send_by_pidfd(leader.as_fd(), libc::SIGKILL, PROCESS_GROUP).is_ok()
}

impl Killing {
    /// Kills our children, which needs no search, and continues the walk down the tree where the
    /// last part ended. Returns false when the walk has reached the whole tree and found nobody.
    pub(crate) fn part(&mut self) -> bool {
        for child in tree::own_children() {
            tree::send(child, None, libc::SIGKILL);
        }
        self.walk(boottime() + PART, Descendant::kill)
    }

    /// Visits at least one process of the walk, so that every part makes progress.
    fn walk(&mut self, until: Duration, mut visit: impl FnMut(&Descendant)) -> bool {
        let walk = self.walk.get_or_insert_with(Walk::everywhere);
        for process in walk {
            visit(&process);
            self.found = true;
            if boottime() >= until {
                return true;
            }
        }
        self.walk = None;
        mem::take(&mut self.found)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, process::Command};

    use testkit::{eventually, process::is_alive};

    use super::*;
    use crate::supervise::{
        alone::{alone, family},
        reap,
    };

    /// Finds them all, and signals nobody.
    fn note(hunt: &mut Hunt) {
        hunt.ask(libc::SIGTERM, Some(0), Duration::MAX);
    }

    #[test]
    fn no_more_pidfds_are_kept_than_there_is_room_for() {
        alone(|| {
            family(3);
            let mut hunt = Hunt::new(2);
            let found = hunt.find(Duration::MAX);
            let pidfds: Vec<_> = found.iter().map(|found| found.pidfd.is_some()).collect();
            // A child of this process needs none until it is kept.
            assert_eq!(pidfds, [false, true, false, false]);
            note(&mut hunt);
            let kept = hunt.asked.values().flatten().count();
            assert_eq!((hunt.asked.len(), kept, hunt.room), (4, 2, 0));
        });
    }

    #[test]
    fn who_is_known_is_killed_without_a_search() {
        alone(|| {
            let (shell, children) = family(2);
            let mut hunt = Hunt::new(3);
            note(&mut hunt);
            hunt.kill_known();
            let is_dead = |pid: &i32| !is_alive(*pid);
            eventually("all are dead", || {
                [shell].iter().chain(&children).all(is_dead)
            });
        });
    }

    #[test]
    fn after_a_search_they_are_left_alone_for_three_times_as_long() {
        alone(|| {
            family(1);
            let mut hunt = Hunt::new(0);
            let before = boottime();
            note(&mut hunt);
            let after = boottime();
            let rest = (hunt.took * 3).min(Duration::from_secs(1));
            let earliest = before + hunt.took + rest;
            assert!((earliest..=after + rest).contains(&hunt.next), "{hunt:?}");
            assert_eq!(hunt.lead(), hunt.took * 8);

            family(0);
            hunt.next = Duration::MAX;
            note(&mut hunt);
            assert_eq!(hunt.asked.len(), 2);
            hunt.next = Duration::ZERO;
            note(&mut hunt);
            assert_eq!(hunt.asked.len(), 3);
        });
    }

    /// Linux 6.9 and later can do that.
    #[test]
    fn a_group_is_killed_by_the_pidfd_of_its_leader() {
        alone(|| {
            let (leader, members) = family(1);
            let pidfd = tree::open(leader).unwrap();
            let is_supported = send_by_pidfd(pidfd.as_fd(), 0, 4).is_ok();
            assert_eq!(kill_group(&pidfd), is_supported);
            let is_alive = || [leader, members[0]].map(is_alive);
            if is_supported {
                eventually("all are dead", || is_alive() == [false; 2]);
            } else {
                assert_eq!(is_alive(), [true; 2]);
            }
        });
    }

    /// A part ends early only if it has taken long, which is rare enough.
    #[test]
    fn one_part_of_the_killing_comes_to_several_processes() {
        alone(|| {
            let in_one_part = |_| {
                family(3);
                let mut killing = Killing::default();
                let is_done = killing.part() && killing.walk.is_none();
                reap::all();
                is_done
            };
            assert!((0..100).any(in_one_part));
        });
    }

    /// Even very short parts make progress: a busy machine may have time for only one process in
    /// each.
    #[test]
    fn the_killing_goes_on_where_the_part_before_ended() {
        let script = "sleep 1000 & sleep 1000 & wait";
        let mut shell = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let watchdog = boottime() + Duration::from_secs(60);
        let (mut killing, mut seen) = (Killing::default(), HashSet::new());
        let below = |parent: i32| tree::Children::new().of(parent, None);
        while below(pid).len() < 2 || !below(pid).iter().all(|pid| seen.contains(pid)) {
            assert!(boottime() < watchdog, "some are never come to");
            killing.walk(Duration::ZERO, |process| {
                seen.insert(process.identity.0);
            });
        }
        assert!(seen.contains(&pid));
        below(pid)
            .into_iter()
            .for_each(|pid| tree::send(pid, None, libc::SIGKILL));
        shell.wait().unwrap();
    }

    #[test]
    fn who_comes_later_is_asked_only_as_an_orphan() {
        let mut hunt = Hunt {
            since: 100,
            asked: HashMap::new(),
            room: 0,
            took: Duration::ZERO,
            next: Duration::ZERO,
        };
        let mut asked = |identities: &[Identity], is_child| -> Vec<Identity> {
            let first = hunt.asked.is_empty();
            let mut new = Vec::new();
            for identity in identities {
                let mut process = Descendant {
                    identity: *identity,
                    pidfd: None,
                    is_child,
                    is_guard: false,
                };
                if hunt.is_new(&process, first) {
                    hunt.keep(&mut process);
                    new.push(*identity);
                }
            }
            new
        };
        // The command may have been started in this very tick.
        assert_eq!(asked(&[(1, 90), (2, 100)], false), [(1, 90), (2, 100)]);
        let later = [(1, 90), (2, 100), (3, 99), (4, 100), (5, 101)];
        assert_eq!(asked(&later, false), [(3, 99)]);
        // Another process with an ID that was there before.
        assert_eq!(asked(&[(1, 95)], false), [(1, 95)]);
        assert_eq!(asked(&[(1, 95)], false), []);
        assert_eq!(asked(&later, true), [(4, 100), (5, 101)]);
        assert_eq!(asked(&later, true), []);
    }
}
