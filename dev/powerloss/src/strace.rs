//! What a program does to the files of a directory, as `strace(1)` shows it.
//!
//! A call that is unknown here and mentions the directory panics: it may change files, and the
//! record would have a gap.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    Event,
    call::{Call, octal, open_file, path_of, unhex, written},
};

/// Calls that change no names, bytes, lengths or modes.
const HARMLESS: [&str; 40] = [
    "access",
    "chdir",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fchdir",
    "fcntl",
    "flock",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "lstat",
    "newfstatat",
    "pipe2",
    "poll",
    "ppoll",
    "pread64",
    "preadv",
    "readlink",
    "readlinkat",
    "readv",
    "stat",
    "statfs",
    "statx",
    "recvmsg",
];

/// What a program did.
#[derive(Debug)]
pub struct Run {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// Its status and its output.
    pub output: Output,
}

/// Runs a program to its end, and records what it and its children do below the directory. The
/// fault is an argument of `strace --inject`: `fsync:signal=KILL:when=2` kills the program before
/// its second `fsync(2)` is made.
///
/// # Panics
/// When `strace(1)` cannot be run, and for calls that this module does not know.
#[must_use]
pub fn record(root: &Path, program: &Command, fault: Option<&str>) -> Run {
    let root = fs::canonicalize(root).expect("the directory is there");
    let log = tempfile::NamedTempFile::new().expect("there is room for a log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-xx", "-y", "-s", "1048576"]);
    strace.args(["-e", "abbrev=!execve", "-e", "trace=%file,%desc,sync"]);
    if let Some(fault) = fault {
        strace.arg("-e").arg(format!("inject={fault}"));
    }
    strace.arg("-o").arg(log.path()).arg("--");
    strace.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let output = strace.output().expect("strace can be run");
    let is_refused = output.stderr.starts_with(b"strace: ");
    assert!(!is_refused, "strace cannot do that: {output:?}");
    let log = fs::read_to_string(log.path()).expect("the log is text");
    let events = events(&root, &log);
    Run { events, output }
}

fn events(root: &Path, log: &str) -> Vec<Event> {
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mut record = Record {
        root,
        mask: mask.map_or(0, |mask| octal(mask.trim())),
        positions: HashMap::new(),
        events: Vec::new(),
    };
    // The unfinished call of each thread, and the number of events before it.
    let mut begun: HashMap<&str, (String, usize)> = HashMap::new();
    for line in log.lines() {
        let (thread, line) = line.split_once(' ').expect("each line has a PID");
        let line = line.trim_start();
        let is_end = line.starts_with("+++") || line.ends_with("<detached ...>");
        if is_end || line.starts_with("---") {
            continue;
        }
        if let Some(call) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (call.to_owned(), record.events.len()));
            continue;
        }
        let (call, since) = match line.strip_prefix("<... ") {
            Some(rest) => {
                let (_, rest) = rest.split_once(" resumed>").expect("it is resumed");
                let (call, since) = begun.remove(thread).expect("it had begun");
                (call + rest, since)
            }
            None => (line.to_owned(), record.events.len()),
        };
        if let Some(call) = Call::parse(&call) {
            record.add(&call, since);
        }
    }
    record.events
}

struct Record<'a> {
    root: &'a Path,
    mask: u32,
    /// The position of the next `write` to each file. Descriptors of the same file are not told
    /// apart: a recorded program opens a file, writes it and closes it before another one opens it.
    positions: HashMap<PathBuf, u64>,
    events: Vec<Event>,
}

impl Record<'_> {
    fn add(&mut self, call: &Call<'_>, since: usize) {
        match call.name {
            "open" => self.open(call, 1),
            "openat" => self.open(call, 2),
            "mkdir" => self.make_directory(self.path(call, None, 0), call.arguments[1]),
            "mkdirat" => self.make_directory(self.path(call, Some(0), 1), call.arguments[2]),
            "rename" => self.pair(call, [(None, 0), (None, 1)], rename),
            "renameat" => self.pair(call, [(Some(0), 1), (Some(2), 3)], rename),
            "renameat2" if call.has(4, "0") || call.has(4, "RENAME_NOREPLACE") => {
                self.pair(call, [(Some(0), 1), (Some(2), 3)], rename);
            }
            "link" => self.pair(call, [(None, 0), (None, 1)], link),
            "linkat" if call.has(4, "0") => self.pair(call, [(Some(0), 1), (Some(2), 3)], link),
            "unlink" | "rmdir" => self.unlink(self.path(call, None, 0)),
            "unlinkat" => self.unlink(self.path(call, Some(0), 1)),
            "write" => self.write(call),
            "pwrite64" => {
                let offset = call.number(3);
                self.write_at(call, offset);
            }
            "read" => self.seek(call, call.returned(), true),
            "lseek" => self.seek(call, call.returned(), false),
            "ftruncate" => self.set_length(self.opened(call), call.number(1)),
            "truncate" => self.set_length(self.path(call, None, 0), call.number(1)),
            "fchmod" => self.set_mode(self.opened(call), call.arguments[1]),
            "chmod" => self.set_mode(self.path(call, None, 0), call.arguments[1]),
            "fchmodat" => self.set_mode(self.path(call, Some(0), 1), call.arguments[2]),
            "fsync" | "fdatasync" => {
                if let Some(path) = self.opened(call) {
                    let (only_data, beside) = (call.name == "fdatasync", self.events.len() - since);
                    self.events.push(Event::Sync {
                        path,
                        only_data,
                        beside,
                    });
                }
            }
            "execve" => {
                let variables = call.arguments[2].trim_matches(['[', ']']).split(", ");
                let variables = variables.map(|text| unhex(text.trim_matches('"')));
                let variables = variables.map(|text| String::from_utf8_lossy(&text).into_owned());
                self.events.push(Event::Execute(variables.collect()));
            }
            "mmap" if !(call.has(2, "PROT_WRITE") && call.has(3, "MAP_SHARED")) => {}
            name if HARMLESS.contains(&name) => {}
            _ => assert!(!self.mentions(call), "not known here: {}", call.line),
        }
    }

    /// A path below the root, relative to it.
    fn below(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(self.root).ok().map(Path::to_owned)
    }

    fn opened(&self, call: &Call<'_>) -> Option<PathBuf> {
        self.below(&open_file(call.arguments[0])?)
    }

    fn path(&self, call: &Call<'_>, directory: Option<usize>, index: usize) -> Option<PathBuf> {
        let path = path_of(&call.text(index));
        let directory = directory.and_then(|index| open_file(call.arguments[index]));
        let path = directory.unwrap_or_default().join(path);
        assert!(
            path.is_absolute(),
            "a path that cannot be followed: {}",
            call.line
        );
        let path = self.below(&path)?;
        let is_plain = path
            .components()
            .all(|one| matches!(one, Component::Normal(_)));
        assert!(is_plain, "a path that cannot be followed: {}", call.line);
        Some(path)
    }

    fn open(&mut self, call: &Call<'_>, flags: usize) {
        // The path after links and `..` are resolved.
        let opened = open_file(call.result);
        let Some(path) = opened.and_then(|path| self.below(&path)) else {
            return;
        };
        self.positions.insert(path.clone(), 0);
        for flag in ["O_TMPFILE", "O_SYNC", "O_DSYNC", "O_APPEND"] {
            assert!(!call.has(flags, flag), "not known here: {}", call.line);
        }
        if call.has(flags, "O_CREAT") {
            let mode = octal(call.arguments[flags + 1]) & !self.mask;
            self.events.push(Event::Create {
                path: path.clone(),
                mode,
            });
        }
        if call.has(flags, "O_TRUNC") {
            self.set_length(Some(path), 0);
        }
    }

    fn make_directory(&mut self, path: Option<PathBuf>, mode: &str) {
        let mode = octal(mode) & !self.mask;
        let made = path.map(|path| Event::MakeDirectory { path, mode });
        self.events.extend(made);
    }

    fn pair(
        &mut self,
        call: &Call<'_>,
        [(from_directory, from), (to_directory, to)]: [(Option<usize>, usize); 2],
        event: fn(PathBuf, PathBuf) -> Event,
    ) {
        match (
            self.path(call, from_directory, from),
            self.path(call, to_directory, to),
        ) {
            (Some(from), Some(to)) => self.events.push(event(from, to)),
            (None, None) => {}
            _ => panic!("into the directory, or out of it: {}", call.line),
        }
    }

    fn unlink(&mut self, path: Option<PathBuf>) {
        self.events.extend(path.map(|path| Event::Unlink { path }));
    }

    fn write(&mut self, call: &Call<'_>) {
        match self.opened(call) {
            Some(path) => {
                let offset = self.positions.get(&path).copied();
                self.write_at(
                    call,
                    offset.unwrap_or_else(|| panic!("where? {}", call.line)),
                );
                self.seek(call, call.returned(), true);
            }
            None if call.arguments[0].starts_with("1<") => {
                self.events.push(Event::Output(written(call)));
            }
            None => {}
        }
    }

    fn write_at(&mut self, call: &Call<'_>, offset: u64) {
        if let Some(path) = self.opened(call) {
            let data = written(call);
            self.events.push(Event::Write { path, offset, data });
        }
    }

    fn seek(&mut self, call: &Call<'_>, to: u64, is_relative: bool) {
        if let Some(path) = self.opened(call) {
            let position = self.positions.entry(path).or_default();
            *position = if is_relative { *position + to } else { to };
        }
    }

    fn set_length(&mut self, path: Option<PathBuf>, length: u64) {
        let set = path.map(|path| Event::SetLength { path, length });
        self.events.extend(set);
    }

    fn set_mode(&mut self, path: Option<PathBuf>, mode: &str) {
        let mode = octal(mode);
        self.events
            .extend(path.map(|path| Event::SetMode { path, mode }));
    }

    /// Whether the directory, or anything in it, is among the arguments.
    fn mentions(&self, call: &Call<'_>) -> bool {
        let texts = call
            .line
            .split(['"', '<', '>'])
            .filter(|text| text.starts_with("\\x"));
        texts
            .map(|text| path_of(&unhex(text)))
            .any(|path| path.starts_with(self.root))
    }
}

fn rename(from: PathBuf, to: PathBuf) -> Event {
    Event::Rename { from, to }
}

fn link(from: PathBuf, to: PathBuf) -> Event {
    Event::Link { from, to }
}
