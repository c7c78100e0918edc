//! What `/proc` says about processes, `proc(5)`.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::Pid;

/// The inode of the initial PID namespace, `PROC_PID_INIT_INO` of the kernel.
pub const INITIAL_NAMESPACE: u64 = 0xEFFF_FFFC;

/// How often we read `/proc/locks` before a lock counts as missing. The kernel returns the list in
/// parts and finds the next part by counting locks. So it skips a lock when another one disappears
/// between two reads.
const LOOKS_AT_LOCKS: usize = 16;

/// The fields of `/proc/PID/stat` that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// One letter: `R`, `S`, `Z`, ...
    pub state: char,
    /// The process group.
    pub group: i32,
    /// How many threads it has.
    pub threads: u64,
    /// Clock ticks from boot to the start of the process.
    pub start: u64,
}

impl Stat {
    /// Whether no thread is left. A process whose first thread has exited looks like a zombie, but
    /// is alive while it has other threads.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'X') || self.state == 'Z' && self.threads <= 1
    }
}

/// Reads `/proc/PID/stat`. Returns `None` if the process has ended or is hidden.
#[must_use]
pub fn stat(pid: Pid) -> Option<Stat> {
    parse_stat(&line(format!("/proc/{pid}/stat"))?)
}

/// Reads a file of one line in a single read, since `/proc` does not report sizes. A command name
/// in it may be any bytes, also invalid UTF-8.
fn line(path: impl AsRef<Path>) -> Option<String> {
    let mut buffer = [0; 1024];
    let length = File::open(path).ok()?.read(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Counts the fields from the last parenthesis, since the command name before it may contain any
/// character.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        group: fields.nth(1)?.parse().ok()?,
        threads: fields.nth(14)?.parse().ok()?,
        start: fields.nth(1)?.parse().ok()?,
    })
}

/// Whether `/proc` shows the PID namespace of this process. In another namespace the IDs belong to
/// other processes. If it cannot be determined, the answer is false.
#[must_use]
pub fn is_ours() -> bool {
    try_is_ours().unwrap_or(false)
}

/// Like [`is_ours`], but returns the error if it cannot be determined.
///
/// # Errors
/// Those of `readlink(2)` except `ENOENT`, which means that this `/proc` does not know this
/// process.
pub fn try_is_ours() -> io::Result<bool> {
    match fs::read_link("/proc/self") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        link => Ok(link? == Path::new(&Pid::own().to_string())),
    }
}

/// The ID of this boot of the machine.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = line("/proc/sys/kernel/random/boot_id")?;
    Some(id.trim().to_owned())
}

/// The inode of a process's PID namespace, or of our own. Reads the number from the link, which is
/// much faster than looking at the file itself.
#[must_use]
pub fn namespace(pid: Option<Pid>) -> Option<u64> {
    let pid = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    let number = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// The real, effective, saved and file system UID of a process.
#[must_use]
pub fn users(pid: Pid) -> Option<[u32; 4]> {
    let users = status_line(pid, "Uid:")?;
    let users: Vec<u32> = users
        .split_whitespace()
        .map_while(|user| user.parse().ok())
        .collect();
    users.try_into().ok()
}

/// The name of a process, at most 15 bytes; the process can change it.
///
/// # Errors
/// `ENOENT` when the process has ended or is hidden.
pub fn name(pid: Pid) -> io::Result<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/comm"))?;
    name.pop();
    Ok(name)
}

/// Whether a thread of the process is stopped.
#[must_use]
pub fn has_stopped_thread(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    threads
        .filter_map(|thread| parse_stat(&line(thread.path().join("stat"))?))
        .any(|stat| stat.state == 'T')
}

/// Every process that `/proc` shows.
pub fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Finds the process that has the PID `pid` in the PID namespace `namespace`. Returns its PID here.
#[must_use]
pub fn in_namespace(pid: Pid, namespace: u64) -> Option<Pid> {
    processes().find(|&here| {
        self::namespace(Some(here)) == Some(namespace) && innermost(here) == Some(pid)
    })
}

/// The last number of `NSpid` in `/proc/PID/status`.
fn innermost(pid: Pid) -> Option<Pid> {
    status_line(pid, "NSpid:")?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

/// The text after this word in `/proc/PID/status`. A process name in the file may be any bytes.
fn status_line(pid: Pid, word: &str) -> Option<String> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix(word));
    line.map(str::to_owned)
}

/// Whether a living process has taken a `flock(2)` on this inode itself, not inherited it from a
/// dead one. False if `/proc/locks` does not tell.
#[must_use]
pub fn is_locked_by_its_owner(inode: u64) -> bool {
    let is_listed = || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut owners = locks.lines().filter_map(|line| flock_owner(line, inode));
        owners.any(|owner| stat(owner).is_some_and(|stat| !stat.is_dead()))
    };
    (0..LOOKS_AT_LOCKS).any(|_| is_listed())
}

/// Who took the lock in this line of `/proc/locks`, if it is a held `flock(2)` on this inode,
/// `proc_locks(5)`. Ignores the device before the inode: it may differ from the one in `stat(2)`.
fn flock_owner(line: &str, inode: u64) -> Option<Pid> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_device, number) = fields.get(5)?.rsplit_once(':')?;
    if fields[1] == "FLOCK" && number.parse() == Ok(inode) {
        fields[4].parse().ok()
    } else {
        None
    }
}

/// The processes that have this file open.
#[must_use]
pub fn having_open(device: u64, inode: u64) -> Vec<Pid> {
    let has_open = |pid: &Pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| fs::metadata(file.path()).ok())
            .any(|file| file.dev() == device && file.ino() == inode)
    };
    processes()
        .filter(|&pid| pid != Pid::own())
        .filter(has_open)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn a_command_name_cannot_fake_fields() {
        let text = "42 (a) R 1 2 3) S 1 77 78 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 99 0\n";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                state: 'S',
                group: 77,
                threads: 1,
                start: 99
            })
        );
        assert_eq!(parse_stat("42 (short) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    /// It finds the lock although many others come and go, also in a table of several pages.
    #[test]
    fn a_held_lock_is_found_among_those_that_come_and_go() {
        let lock = || {
            let file = tempfile::tempfile().unwrap();
            nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap()
        };
        let held = lock();
        let inode = held.metadata().unwrap().ino();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let come_and_go = || {
                for count in (0..200).cycle() {
                    drop((0..count).map(|_| lock()).collect::<Vec<_>>());
                    if done.load(Relaxed) {
                        break;
                    }
                }
            };
            scope.spawn(come_and_go);
            scope.spawn(come_and_go);
            let missed = (0..5_000)
                .filter(|_| !is_locked_by_its_owner(inode))
                .count();
            done.store(true, Relaxed);
            assert_eq!(missed, 0);
        });
        let _kept = held.unlock().unwrap();
        assert!(!is_locked_by_its_owner(inode));
    }

    #[test]
    fn a_process_is_found_by_its_pid_in_a_namespace() {
        let ours = namespace(None).unwrap();
        assert_eq!(in_namespace(Pid::own(), ours), Some(Pid::own()));
        assert_eq!(in_namespace(Pid::own(), ours + 1), None);
    }

    /// Alone: the forks of other tests have a moment's copy of each descriptor.
    #[test]
    #[cfg(feature = "supervise")]
    fn only_who_has_a_file_open_is_found() {
        crate::supervise::alone::alone(|| {
            let [file, other] = [(); 2].map(|()| tempfile::tempfile().unwrap());
            let found = file.metadata().unwrap();
            let found = || having_open(found.dev(), found.ino());
            assert_eq!(found(), []);
            let mut children = [file, other].map(|file| {
                let mut command = std::process::Command::new("sleep");
                command.arg("1000").stdin(file).spawn().unwrap()
            });
            let having = found();
            for child in &mut children {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            assert_eq!(having, [children[0].id().try_into().unwrap()]);
        });
    }

    #[test]
    fn only_a_held_flock_has_an_owner() {
        let owner = |line| flock_owner(line, 77).map(Pid::raw);
        assert_eq!(
            owner("1: FLOCK  ADVISORY  WRITE 42 fe:00:77 0 EOF"),
            Some(42)
        );
        assert_eq!(owner("1: FLOCK  ADVISORY  WRITE 42 fe:00:777 0 EOF"), None);
        assert_eq!(owner("1: POSIX  ADVISORY  WRITE 42 fe:00:77 0 EOF"), None);
        assert_eq!(
            owner("1: -> FLOCK  ADVISORY  WRITE 42 fe:00:77 0 EOF"),
            None
        );
        assert_eq!(owner("1: FLOCK  ADVISORY  WRITE 0 fe:00:77 0 EOF"), None);
        assert_eq!(owner(""), None);
    }
}
