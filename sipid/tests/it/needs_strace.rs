//! A pidfile after a power loss, at any moment of the binary's work.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use powerloss::{Crash, Disk, Event, crashes, record};
use tempfile::TempDir;

use crate::support::{Kept, SIPID, claim, kill, sipid, sleeper};

/// The claims and kills in one directory.
struct Story {
    root: TempDir,
    file: PathBuf,
    before: Disk,
    events: Vec<Event>,
    /// The PIDs that the file may name.
    named: Vec<String>,
    /// The process that was last claimed for. After the reboot, this PID belongs to another
    /// process.
    last: Option<Kept>,
    /// In how many trees an identity was valid.
    identified: usize,
}

impl Story {
    /// Starts with this content, which is on the disk; with none, there is no directory yet.
    fn new(content: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("run/x.pid");
        if let Some(content) = content {
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            make_old(&file);
        }
        let old = content.and_then(|content| content.split_ascii_whitespace().next());
        Self {
            before: Disk::of(root.path()),
            file,
            root,
            events: Vec::new(),
            named: old.map(str::to_owned).into_iter().collect(),
            last: None,
            identified: 0,
        }
    }

    #[track_caller]
    fn run(&mut self, arguments: &[&str], fault: Option<&str>) {
        let mut command = Command::new(SIPID);
        command.args(arguments).arg("--pid-file").arg(&self.file);
        let run = record(self.root.path(), &command, fault);
        assert!(run.output.status.success(), "{arguments:?}: {run:?}");
        self.events.extend(run.events);
    }

    /// Claims for a new process, after the previous one has ended.
    #[track_caller]
    fn claim(mut self) -> Self {
        self.last = None;
        let process = sleeper();
        self.run(&["claim", "--pid", &process.pid()], None);
        self.named.push(process.pid());
        self.last = Some(process);
        self
    }

    #[track_caller]
    fn kill(mut self, fault: Option<&str>) -> Self {
        self.last = None;
        self.run(&["kill"], fault);
        self
    }

    /// Checks all trees that are possible after a power loss. Returns their number, or what is
    /// wrong with the first bad one.
    fn check(&mut self) -> Result<usize, String> {
        let crashes = crashes(&self.before, &self.events);
        for crash in &crashes {
            self.after_reboot(crash).map_err(|fault| {
                let last = crash.after.checked_sub(1).map(|last| &self.events[last]);
                format!("{fault}\nafter {last:?}\n{:?}", crash.image)
            })?;
        }
        Ok(crashes.len())
    }

    fn after_reboot(&mut self, crash: &Crash) -> Result<(), String> {
        let (_dir, file) = make(crash);
        let killed = kill(&file, &[]);
        if !killed.status.success() {
            return Err(format!("kill: {killed:?}"));
        }
        if self.last.as_mut().is_some_and(|last| !last.is_alive()) {
            return Err("kill: another process was signalled".to_owned());
        }
        let (_dir, file) = make(crash);
        let status = sipid(&["status", "-o", "json", "--pid-file", file.to_str().unwrap()]);
        if status.status.code() != Some(1) {
            return Err(format!("status: {status:?}"));
        }
        let state: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        self.identified += usize::from(!state["identity"].is_null());
        let pid = &state["pid"];
        if !pid.is_null() && !self.named.contains(&pid.to_string()) {
            return Err(format!("nobody claimed for {pid}"));
        }
        let next = sleeper();
        let code = claim(&next.pid(), &file);
        let content = fs::read_to_string(&file).unwrap_or_default();
        if code != 0 || content != next.pid() {
            return Err(format!("claim: {code}, {content:?}"));
        }
        Ok(())
    }
}

/// Makes the tree as a later boot finds it. The file is older than any process. A complete identity
/// fits the file, but is from another boot.
fn make(crash: &Crash) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    crash.image.make(root.path());
    let file = root.path().join("run/x.pid");
    if file.exists() {
        make_old(&file);
        let beside = root.path().join("run/.x.pid.sipid");
        if let Ok(identity) = fs::read_to_string(&beside) {
            fs::write(beside, moved(&identity, &file)).unwrap();
        }
    }
    (root, file)
}

fn make_old(file: &Path) {
    let file = fs::File::options().write(true).open(file).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(old).unwrap();
}

fn moved(identity: &str, file: &Path) -> String {
    let directory = file.parent().unwrap().metadata().unwrap();
    let file = file.metadata().unwrap();
    let field = |field: &str| match field.split_once('=') {
        Some(("inode", _)) => format!("inode={}", file.ino()),
        Some(("mtime", _)) => format!("mtime={}.{:09}", file.mtime(), file.mtime_nsec()),
        Some(("boot", _)) => "boot=01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        Some(("dir", _)) => format!("dir={}:{}", directory.dev(), directory.ino()),
        _ => field.to_owned(),
    };
    let fields: Vec<_> = identity.split(' ').map(field).collect();
    fields.join(" ")
}

/// A PID that nobody has. No other PID has more digits.
const LONG: &str = "2147483647";

/// A PID of one digit. No PID that is given in the next hours begins with it.
fn short() -> String {
    let pid = std::process::id().to_string();
    let first = pid.bytes().next().unwrap() - b'0';
    ((first + 4) % 9 + 1).to_string()
}

// Holds sipid-2, sipid-6.
#[test]
#[ignore = "needs strace"]
fn a_power_loss_leaves_the_old_pid_or_the_new_one_or_none() {
    let lines = format!("{LONG}\n{}", "more\n".repeat(20));
    let mut count = 0;
    for content in [None, Some(""), Some(&*short()), Some(LONG), Some(&lines)] {
        let mut story = Story::new(content).claim();
        count += story
            .check()
            .unwrap_or_else(|fault| panic!("{content:?}: {fault}"));
    }
    eprintln!("{count} trees");
}

// Holds sipid-2, sipid-6.
#[test]
#[ignore = "needs strace"]
fn a_power_loss_after_several_claims_leaves_a_pid_of_one_of_them_or_none() {
    let mut story = Story::new(Some(LONG)).claim().claim().kill(None).claim();
    eprintln!("{} trees", story.check().unwrap());
    assert!(story.identified > 0);
}

// Holds sipid-2, sipid-6.
#[test]
#[ignore = "needs strace"]
fn a_power_loss_after_a_file_was_emptied_leaves_no_part_of_what_it_held() {
    let emptied = Story::new(Some(LONG)).kill(Some("?unlink,?unlinkat:error=EACCES"));
    assert_eq!(fs::read_to_string(&emptied.file).unwrap(), "");
    eprintln!("{} trees", emptied.claim().check().unwrap());
}

/// The check can fail.
#[test]
#[ignore = "needs strace"]
fn a_claim_that_never_syncs_is_found() {
    for content in [&*short(), LONG] {
        let mut story = Story::new(Some(content)).claim();
        story
            .events
            .retain(|event| !matches!(event, Event::Sync { .. }));
        let fault = story.check().unwrap_err();
        assert!(fault.starts_with("nobody claimed for"), "{fault}");
    }
}
