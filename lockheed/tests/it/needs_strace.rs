//! A directory of locks after a power loss at any moment of the binary's work.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

use lockheed::{Lock, store::DirStore};
use nix::libc;
use powerloss::{Crash, Disk, Event, Node, crashes, record};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::lockheed;

/// All system calls that change what is on the disk, or what of it is kept. Some architectures lack
/// some of them.
const CALLS: [&str; 7] = [
    "?mkdir,?mkdirat",
    "pwrite64",
    "ftruncate",
    "fdatasync",
    "fsync",
    "?rename,?renameat",
    "?unlink,?unlinkat",
];

/// The commands that use a directory, which may not exist at first.
struct Story {
    root: TempDir,
    locks: PathBuf,
    before: Disk,
    events: Vec<Event>,
    /// Whether members of its group may use it.
    is_shared: bool,
    /// The power does not fail before this many events.
    since: usize,
}

impl Story {
    fn new(locks: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            locks: root.path().join(locks),
            before: Disk::of(root.path()),
            root,
            events: Vec::new(),
            is_shared: false,
            since: 0,
        }
    }

    /// A directory that members of its group share. Its locks were used in an earlier boot, and
    /// everything is on the disk.
    fn later_boot() -> Self {
        let mut story = Self::new("locks");
        story.is_shared = true;
        fs::create_dir(&story.locks).unwrap();
        fs::set_permissions(&story.locks, fs::Permissions::from_mode(0o2770)).unwrap();
        for lock in ["x", "y"] {
            let acquired = story.command(&["acquire", lock, "--id", "early"]).output();
            assert!(acquired.unwrap().status.success());
        }
        for entry in fs::read_dir(&story.locks).unwrap() {
            let path = entry.unwrap().path();
            let content = of_an_earlier_boot(&fs::read(&path).unwrap());
            fs::write(path, content).unwrap();
        }
        story.before = Disk::of(story.root.path());
        story.events.clear();
        story
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = lockheed(arguments);
        command.env("LOCKHEED_STORE", format!("dir:{}", self.locks.display()));
        command
    }

    #[track_caller]
    fn run(&mut self, arguments: &[&str]) {
        let run = record(self.root.path(), &self.command(arguments), None);
        assert!(run.output.status.success(), "{arguments:?}: {run:?}");
        self.events.extend(run.events);
    }

    /// False if it ended before it could be killed.
    fn is_killed(&mut self, arguments: &[&str], fault: &str) -> bool {
        let run = record(self.root.path(), &self.command(arguments), Some(fault));
        self.events.extend(run.events);
        let status = run.output.status;
        let is_killed = status.signal() == Some(libc::SIGKILL);
        assert!(is_killed || status.success(), "{:?}", run.output);
        is_killed
    }

    /// The highest token that was given in the first `after` events.
    fn given(&self, after: usize) -> u64 {
        let token = |event: &Event| match event {
            Event::Output(text) => str::from_utf8(text).ok()?.trim().parse().ok(),
            Event::Execute(variables) => {
                let token =
                    |variable: &String| variable.strip_prefix("LOCKHEED_TOKEN=")?.parse().ok();
                variables.iter().find_map(token)
            }
            _ => None,
        };
        self.events[..after]
            .iter()
            .filter_map(token)
            .max()
            .unwrap_or(0)
    }

    /// What is wrong with each possible tree after a power loss; none if nothing is wrong.
    fn trees(&self) -> impl Iterator<Item = Option<String>> {
        let runtime = Runtime::new().unwrap();
        let crashes = crashes(&self.before, &self.events).into_iter();
        let crashes = crashes.filter(|crash| crash.after >= self.since);
        crashes.map(move |crash| {
            let fault = runtime.block_on(self.after_reboot(&crash)).err()?;
            let last = crash.after.checked_sub(1).map(|last| &self.events[last]);
            Some(format!("{fault}\nafter {last:?}\n{:?}", crash.image))
        })
    }

    async fn after_reboot(&self, crash: &Crash) -> Result<(), String> {
        self.check_modes(crash)?;
        let root = in_memory();
        let mut image = crash.image.clone();
        for node in image.0.values_mut() {
            if let Node::File(_, content) = node {
                *content = of_an_earlier_boot(content);
            }
        }
        image.make(root.path());
        let locks = root
            .path()
            .join(self.locks.strip_prefix(self.root.path()).unwrap());
        let store = DirStore::create(&locks).map_err(|error| format!("open: {error}"))?;
        let text =
            |error: lockheed::Error| format!("{error}: {:?}", std::error::Error::source(&error));
        let listed = lockheed::locks(&store, None)
            .await
            .map_err(|error| format!("list: {error}"))?;
        if let Some(error) = listed.iter().find_map(|lock| lock.as_ref().err()) {
            return Err(format!("list: {error}"));
        }
        let files = fs::read_dir(&locks).unwrap();
        let files = files.filter(|file| {
            file.as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|end| end == "json")
        });
        if files.count() != listed.len() {
            return Err("a lock cannot be read".to_owned());
        }
        if let Some(held) = listed.iter().flatten().find(|lock| lock.is_held()) {
            return Err(format!("{} is held", held.name));
        }
        let lock = Lock::new(store.clone(), "x".parse().unwrap());
        let token = lock.try_acquire().await.map_err(text)?.token().get();
        let given = self.given(crash.after);
        if token <= given {
            return Err(format!("token {token} after {given}"));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        if mode(&locks) & 0o020 != 0 && mode(&locks.join(".guard")) & 0o060 != 0o060 {
            return Err("members of the group cannot open .guard".to_owned());
        }
        Ok(())
    }

    /// Everybody who may write to the directory may use its files. Everybody who could use them
    /// before still can when a token was given.
    fn check_modes(&self, crash: &Crash) -> Result<(), String> {
        let locks = self.locks.strip_prefix(self.root.path()).unwrap();
        let mode = match crash.image.0.get(locks) {
            Some(Node::Directory(mode)) => *mode,
            _ => 0,
        };
        if self.is_shared && mode != 0o2770 && self.given(crash.after) > 0 {
            return Err(format!("the directory has mode {mode:o}"));
        }
        let shared = |path: &Path| {
            path.extension().is_some_and(|end| end == "json")
                || path.ends_with(".counter")
                || path.ends_with(".clock")
        };
        for (path, node) in &crash.image.0 {
            let Node::File(mode, _) = node else { continue };
            let directory = crash.image.0.get(path.parent().unwrap());
            if matches!(directory, Some(Node::Directory(mode)) if mode & 0o020 != 0)
                && shared(path)
                && mode & 0o060 != 0o060
            {
                return Err(format!("{path:?} has mode {mode:o}"));
            }
        }
        Ok(())
    }
}

/// The trees that are checked need not be on a disk, which would be slow.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// The same text as an earlier boot would have written it.
fn of_an_earlier_boot(content: &[u8]) -> Vec<u8> {
    let Ok(text) = str::from_utf8(content) else {
        return content.to_owned();
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut text = text.replace(boot.trim(), "01234567-89ab-cdef-0123-456789abcdef");
    // Seconds since 1970, in ten digits: a time years earlier.
    for (at, found) in text.clone().match_indices(r#""secs":1"#) {
        text.replace_range(at + found.len()..=at + found.len(), "0");
    }
    text.into_bytes()
}

/// Checks all trees, and counts them.
#[track_caller]
fn check(story: &Story) -> usize {
    let tree = |(number, fault): (usize, Option<String>)| {
        assert!(
            fault.is_none(),
            "tree {number}: {}",
            fault.unwrap_or_default()
        );
    };
    story.trees().enumerate().map(tree).count()
}

/// First use, release, a command, and removal. The directory and its parents are created.
fn first_use() -> Story {
    let mut story = Story::new("a/b/locks");
    story.run(&["acquire", "x", "--id", "a"]);
    story.run(&["release", "x", "--id", "a"]);
    story.run(&["run", "y", "--", "true"]);
    story.run(&["delete", "y"]);
    story.run(&["acquire", "x", "--id", "b"]);
    story
}

// Holds lockheed-5.
#[test]
#[ignore = "needs strace"]
fn tokens_rise_across_a_power_loss_at_any_moment() {
    let count = check(&first_use());
    eprintln!("first use: {count}");
    let mut story = Story::new("a/locks");
    story.is_shared = true;
    story.run(&["acquire", "x", "--id", "a", "--mode", "2770"]);
    eprintln!("shared: {}", check(&story));
    let mut story = Story::later_boot();
    for lock in ["x", "y", "new"] {
        story.run(&["acquire", lock, "--id", "a"]);
    }
    let count = check(&story);
    eprintln!("later boot: {count}");
}

// Holds lockheed-5.
#[test]
#[ignore = "needs strace"]
fn tokens_rise_across_the_limit_that_is_on_the_disk() {
    let mut story = Story::new("locks");
    story.run(&["acquire", "x", "--id", "a"]);
    let counter = story.locks.join(".counter");
    let text = fs::read_to_string(&counter).unwrap();
    fs::write(&counter, text.replace("00000000001\n", "00000000999\n")).unwrap();
    story.before = Disk::of(story.root.path());
    story.events.clear();
    for _ in 0..3 {
        story.run(&["acquire", "x", "--id", "a"]);
        story.run(&["release", "x", "--id", "a"]);
    }
    assert!(story.given(story.events.len()) > 1001);
    eprintln!("{}", check(&story));
}

/// Nobody may depend on what a killed writer has left unfinished.
// Holds lockheed-5.
#[test]
#[ignore = "needs strace"]
fn whoever_goes_on_after_a_killed_writer_rests_on_nothing_that_is_not_on_the_disk() {
    let (mut kills, mut count) = (0, 0);
    for begin in [|| Story::new("a/locks"), Story::later_boot] {
        for call in CALLS {
            for which in 1.. {
                let mut story = begin();
                let fault = format!("{call}:signal=KILL:when={which}");
                if !story.is_killed(&["acquire", "x", "--id", "killed"], &fault) {
                    break;
                }
                story.since = story.events.len();
                story.run(&["acquire", "x", "--id", "killed"]);
                count += check(&story);
                kills += 1;
            }
        }
    }
    eprintln!("{kills} kills: {count} trees");
    assert!(kills > 20, "{kills}");
}

/// The check can fail.
#[test]
#[ignore = "needs strace"]
fn a_store_that_never_syncs_is_found() {
    let mut story = first_use();
    let is_kept = |event: &Event| !matches!(event, Event::Sync { .. });
    story.events.retain(is_kept);
    let is_found =
        |fault: Option<String>| fault.is_some_and(|fault| fault.starts_with("token 1 after"));
    assert!(story.trees().any(is_found));
}
