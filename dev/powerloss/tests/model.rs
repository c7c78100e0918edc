//! Programs that sync what they must, and programs that forget it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{collections::BTreeSet, path::Path};

use powerloss::{Crash, Disk, Event, Node, crashes};

/// The possible contents of a file after a power loss at any moment; none where it is missing.
fn contents(crashes: &[Crash], file: &str) -> BTreeSet<Option<String>> {
    let content = |crash: &Crash| match crash.image.0.get(Path::new(file)) {
        Some(Node::File(_, content)) => Some(String::from_utf8(content.clone()).unwrap()),
        _ => None,
    };
    crashes.iter().map(content).collect()
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<Option<String>> {
    let text = |text: &str| (text != "-").then(|| text.to_owned());
    texts.into_iter().map(text).collect()
}

fn write(path: &str, offset: u64, data: &str) -> Event {
    let (path, data) = (path.into(), data.into());
    Event::Write { path, offset, data }
}

fn sync(path: &str) -> Event {
    let path = path.into();
    Event::Sync {
        path,
        only_data: false,
        beside: 0,
    }
}

fn create(path: &str) -> Event {
    let path = path.into();
    Event::Create { path, mode: 0o600 }
}

fn rename(from: &str, to: &str) -> Event {
    let (from, to) = (from.into(), to.into());
    Event::Rename { from, to }
}

/// A directory in which `f` has this content.
fn disk(content: &str) -> Disk {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), content).unwrap();
    Disk::of(dir.path())
}

/// The possible contents of `f` when the power fails after all events.
fn at_the_end(disk: &Disk, events: &[Event]) -> BTreeSet<Option<String>> {
    let mut crashes = crashes(disk, events);
    crashes.retain(|crash| crash.after == events.len());
    contents(&crashes, "f")
}

#[test]
fn a_new_file_has_its_name_length_and_bytes_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let events = [create("f"), write("f", 0, "new")];
    let possible = contents(&crashes(&Disk::of(dir.path()), &events), "f");
    assert_eq!(possible, set(["-", "", "\0\0\0", "new"]));
    let synced = [&events[..], &[sync("f")]].concat();
    let possible = at_the_end(&Disk::of(dir.path()), &synced);
    assert_eq!(possible, set(["-", "new"]));
    let synced = [&synced[..], &[sync("")]].concat();
    assert_eq!(at_the_end(&Disk::of(dir.path()), &synced), set(["new"]));
}

#[test]
fn a_file_that_is_written_over_may_have_the_bytes_of_one_and_the_length_of_the_other() {
    let possible = contents(&crashes(&disk("old"), &[write("f", 0, "newer")]), "f");
    assert_eq!(possible, set(["old", "new", "old\0\0", "newer"]));
    let shorter = Event::SetLength {
        path: "f".into(),
        length: 2,
    };
    let events = [write("f", 0, "new"), shorter];
    let possible = contents(&crashes(&disk("old"), &events), "f");
    assert_eq!(possible, set(["old", "new", "ol", "ne", "ne\0"]));
}

#[test]
fn a_large_file_is_written_in_sectors() {
    let (old, new) = ("o".repeat(1100), "n".repeat(1100));
    let possible = contents(&crashes(&disk(&old), &[write("f", 0, &new)]), "f");
    assert_eq!(possible.len(), 8);
    assert!(possible.contains(&Some(old[..512].to_owned() + &new[..512] + &old[..76])));
}

#[test]
fn a_rename_may_be_there_before_the_data() {
    let events = [create("g"), write("g", 0, "new"), rename("g", "f")];
    let possible = contents(&crashes(&disk("old"), &events), "f");
    assert_eq!(possible, set(["old", "", "\0\0\0", "new"]));
    let events = [
        create("g"),
        write("g", 0, "new"),
        sync("g"),
        rename("g", "f"),
    ];
    let possible = contents(&crashes(&disk("old"), &events), "f");
    assert_eq!(possible, set(["old", "new"]));
}

#[test]
fn what_ended_while_it_was_synced_may_be_lost() {
    let beside = Event::Sync {
        path: "f".into(),
        only_data: true,
        beside: 1,
    };
    let events = [write("f", 0, "one"), write("f", 0, "two"), beside];
    assert_eq!(at_the_end(&disk("old"), &events), set(["one", "two"]));
}

#[test]
fn only_a_whole_sync_is_for_the_mode() {
    let modes = |only_data| {
        let path = || "f".into();
        let events = [
            Event::SetMode {
                path: path(),
                mode: 0o660,
            },
            Event::Sync {
                path: path(),
                only_data,
                beside: 0,
            },
        ];
        let crashes = crashes(&disk("old"), &events);
        crashes.iter().filter(|crash| crash.after == 2).count()
    };
    assert_eq!((modes(true), modes(false)), (2, 1));
}

#[test]
fn a_file_goes_with_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let make = Event::MakeDirectory {
        path: "d".into(),
        mode: 0o700,
    };
    let file = [
        make,
        create("d/f"),
        write("d/f", 0, "new"),
        sync("d/f"),
        sync("d"),
    ];
    let last = |events: &[Event]| {
        let mut crashes = crashes(&Disk::of(dir.path()), events);
        crashes.retain(|crash| crash.after == events.len());
        contents(&crashes, "d/f")
    };
    assert_eq!(last(&file), set(["-", "new"]));
    assert_eq!(last(&[&file[..], &[sync("")]].concat()), set(["new"]));
}

/// There are too many trees to check all. Each value is seen beside the latest and the earliest
/// ones.
#[test]
fn of_very_many_trees_each_pair_of_values_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let names = || (0..12).map(|number| format!("f{number}"));
    let events: Vec<Event> = names().map(|name| create(&name)).collect();
    let crashes = crashes(&Disk::of(dir.path()), &events);
    for missing in 0..=2 {
        let count = |crash: &&Crash| crash.image.0.len() == names().count() - missing;
        assert_eq!(crashes.iter().filter(count).count(), [1, 12, 66][missing]);
    }
}

mod needs_strace {
    use std::process::Command;

    use powerloss::record;

    use super::*;

    fn shell(script: &str, fault: Option<&str>) -> BTreeSet<Option<String>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let before = Disk::of(dir.path());
        let mut sh = Command::new("sh");
        sh.args(["-ec", script, "sh"]).arg(dir.path());
        let run = record(dir.path(), &sh, fault);
        assert_eq!(run.output.status.success(), fault.is_none(), "{run:?}");
        contents(&crashes(&before, &run.events), "f")
    }

    #[test]
    #[ignore = "needs strace"]
    fn a_program_that_forgets_to_sync_is_found() {
        let careless = r#"printf new >"$1/g"; mv "$1/g" "$1/f""#;
        let half = set(["old", "", "\0\0\0", "new"]);
        assert_eq!(shell(careless, None), half);
        let careful = r#"printf new >"$1/g"; sync "$1/g"; mv "$1/g" "$1/f""#;
        assert_eq!(shell(careful, None), set(["old", "new"]));
        let in_place = r#"printf new >"$1/f"; sync "$1/f""#;
        assert_eq!(shell(in_place, None), set(["old", "", "\0\0\0", "new"]));
    }

    #[test]
    #[ignore = "needs strace"]
    fn a_call_at_which_a_program_is_killed_was_not_made() {
        let script = r#"printf new >"$1/g"; sync "$1/g" || mv "$1/g" "$1/f""#;
        let half = set(["old", "", "\0\0\0", "new"]);
        assert_eq!(
            shell(&format!("{script}; false"), Some("fsync:signal=KILL")),
            half
        );
    }

    #[test]
    #[ignore = "needs strace"]
    #[should_panic(expected = "not known here")]
    fn an_unknown_change_is_not_passed_over() {
        shell(r#"touch -d 2020-01-01 "$1/f""#, None);
    }
}
