//! A leader that stops or dies anywhere while it begins.

use std::{fs, time::Duration};

use exitdir::{Errno, ExitDir, Watcher};
use nix::libc;
use rustix::fs::{Mode, OFlags, XattrFlags, setxattr};
use tempfile::tempdir;

use crate::{
    eventually, exitdir, is_led, run,
    strangers::exclusive_lock,
    traced::{CALLS, CHANGES, LEADER, Traced, attributes, directory, refuse_nameless},
};

/// When a process that is no leader has locked the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locked {
    No,
    AtFirst,
    AllTheTime,
}

/// However long two leaders stop, exactly one of them leads. While the first one is stopped, the
/// second one begins and stops before it changes something, or does not stop. Each may be without a
/// file of its own. A process that is no leader may have locked the directory, at first or all the
/// time.
// Holds exitdir-10.
#[test]
fn of_two_leaders_one_leads_wherever_they_stop() {
    let mut winners = [0, 0];
    // The stops are played in all combinations, or each with one of the other's.
    for (files, locked, all) in [
        ([true, true], Locked::No, true),
        ([true, true], Locked::AllTheTime, false),
        ([false, true], Locked::No, false),
        ([true, false], Locked::AtFirst, false),
    ] {
        let stops = (1..).flat_map(|stops| [1, 2, 3].map(|changes| (stops, changes)));
        for (stops, changes) in stops.filter(|(stops, changes)| all || stops % 3 + 1 == *changes) {
            let dir = directory(stops % 2 == 0);
            let lock = (locked != Locked::No).then(|| exclusive_lock(dir.path()));
            let mut first = Traced::start(dir.path(), files[0]);
            if !first.reaches(&CALLS, stops) {
                break;
            }
            let _lock = lock.filter(|_| locked == Locked::AllTheTime);
            let mut second = Traced::start(dir.path(), files[1]);
            // It names itself as a successor, and then as the leader.
            let goes_first = changes > 2;
            if !goes_first {
                second.reaches(&CHANGES, changes);
            }
            let early = goes_first.then(|| second.leads());
            let first_leads = first.leads();
            let second_leads = early.unwrap_or_else(|| second.leads());
            let at = format!("{files:?}, {locked:?}, {stops}, {changes}");
            assert_ne!(first_leads, second_leads, "{at}");
            winners[usize::from(second_leads)] += 1;
        }
    }
    assert!(winners.iter().all(|count| *count > 5), "{winners:?}");
}

/// It is killed wherever it stops. What it leaves is gone when the next one has led.
// Holds exitdir-10.
#[test]
fn a_leader_that_is_killed_as_it_begins_keeps_no_other_out() {
    for stops in 1.. {
        let dir = directory(stops % 2 == 0);
        // Both take their turn because of their attributes alone.
        let _lock = exclusive_lock(dir.path());
        let mut killed = Traced::start(dir.path(), true);
        if !killed.reaches(&CALLS, stops) {
            assert!(stops > 7, "it stopped {stops} times");
            break;
        }
        drop(killed);
        // Its guard process may have the descriptors for a moment.
        eventually(&format!("stop {stops}"), || {
            run(dir.path(), &["lead", "--clear", "--", "true"]).0 == Some(0)
        });
        assert_eq!(attributes(dir.path()), [LEADER], "{stops}");
    }
}

/// Its file would be in the new directory, and its locks on the old one.
#[test]
fn a_leader_whose_directory_is_replaced_as_it_begins_fails() {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("exit");
    fs::create_dir(&dir).unwrap();
    let mut leader = Traced::start(&dir, true);
    assert!(leader.reaches(&[libc::SYS_fgetxattr], 1));
    fs::rename(&dir, parent.path().join("old")).unwrap();
    fs::create_dir(&dir).unwrap();
    assert!(!leader.leads());
    ExitDir::new(&dir).lead().unwrap();
}

/// It has locked the directory, and does not lead yet. The last leader had no file of its own, so
/// only its lock would show that it lives.
// Holds exitdir-2.
#[test]
fn a_leader_that_stops_as_it_begins_is_not_taken_for_the_last_one() {
    let dir = tempdir().unwrap();
    let mut lead = exitdir(dir.path(), &["lead", "--", "true"]);
    assert!(refuse_nameless(&mut lead).status().unwrap().success());
    assert_eq!(run(dir.path(), &["clear"]).0, Some(0));
    let every = Duration::from_millis(20);
    let mut watcher = Watcher::polling(ExitDir::new(dir.path()), every).unwrap();
    let mut leader = Traced::start(dir.path(), true);
    assert!(leader.reaches(&CHANGES, 2));
    watcher.wait_timeout(10 * every).unwrap_err();
    assert!(!watcher.saw_leader());
    assert!(leader.leads());
    watcher.wait_timeout(10 * every).unwrap_err();
    assert!(watcher.saw_leader());
}

/// A process that did not get to lead may have had a file with the number of the last leader's.
#[test]
fn a_closed_file_with_a_dead_leaders_number_is_no_leader_that_died() {
    let dir = tempdir().unwrap();
    let nameless = OFlags::TMPFILE | OFlags::WRONLY;
    let file = rustix::fs::open(dir.path(), nameless, Mode::RUSR).unwrap();
    let named = format!("00:00:{} 7", rustix::fs::fstat(&file).unwrap().st_ino);
    setxattr(dir.path(), LEADER, named.as_bytes(), XattrFlags::CREATE).unwrap();
    let mut watcher = Watcher::new(ExitDir::new(dir.path())).unwrap();
    drop(file);
    watcher
        .wait_timeout(Duration::from_millis(300))
        .unwrap_err();
}

/// Without nameless files, a leader cannot tell another one that was stopped as it began from a
/// process that is no leader.
// Holds exitdir-10.
#[test]
fn where_files_have_names_a_lock_keeps_leaders_out() {
    let dir = tempdir().unwrap();
    let _lock = exclusive_lock(dir.path());
    let mut lead = exitdir(dir.path(), &["lead", "--", "true"]);
    let output = refuse_nameless(&mut lead).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("already has a running leader"), "{stderr}");
}

/// A leader would name its own attribute after the last leader, and not every text can be a name.
#[test]
fn an_attribute_that_no_leader_sets_hides_no_leader() {
    let long = [&[0xff; 120][..], b" 8"].concat();
    for value in [
        &b""[..],
        b"nonsense",
        b"\x02\0 8",
        &long,
        b"fe:00 7",
        b"fe:00:7 -7",
        b"fe:00:7:7 7",
        b"fe:00:x 7",
        b"directory x",
    ] {
        let dir = tempdir().unwrap();
        setxattr(dir.path(), LEADER, value, XattrFlags::CREATE).unwrap();
        let _leader = ExitDir::new(dir.path()).lead().unwrap();
        eventually(&format!("{value:?} is no leader"), || is_led(dir.path()));
    }
}

/// Only users who may write to the directory can set them.
#[test]
fn attributes_that_no_leader_sets_are_not_gone_through_for_ever() {
    let first = "user.exitdir.successor-of.nobody";
    // A process that has ended, and the circle that it is in.
    let (dead, its_own) = ("fe:00:7 7", "user.exitdir.successor-of.fe:00:7.7");
    for set in [
        &[(first, "nonsense")][..],
        &[(first, dead), (its_own, dead)],
    ] {
        let dir = tempdir().unwrap();
        for (name, value) in set {
            setxattr(dir.path(), *name, value.as_bytes(), XattrFlags::CREATE).unwrap();
        }
        // Its lock shows that there is no other leader.
        ExitDir::new(dir.path()).lead().unwrap();
        let _lock = exclusive_lock(dir.path());
        let refused = ExitDir::new(dir.path()).lead().unwrap_err();
        assert_eq!(refused.errno(), Errno::from_raw(libc::ELOOP), "{set:?}");
    }
}
