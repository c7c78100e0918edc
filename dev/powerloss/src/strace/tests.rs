//! Logs that are written by hand.

use super::*;

/// Writes a log as `strace -xx` does, with hexadecimal texts and paths between quotes and `<>`.
fn log(lines: &str) -> String {
    let mut log = String::new();
    for (index, part) in lines.split_inclusive(['"', '<', '>']).enumerate() {
        let end = part.len() - usize::from(part.ends_with(['"', '<', '>']));
        let (text, delimiter) = part.split_at(end);
        let is_path = text.starts_with('/') || index % 2 == 1 && delimiter == "\"";
        let hex = |byte| format!("\\x{byte:02x}");
        log += &if is_path {
            text.bytes().map(hex).collect()
        } else {
            text.to_owned()
        };
        log += delimiter;
    }
    log
}

fn of(lines: &str) -> Vec<Event> {
    events(Path::new("/r"), &log(lines))
}

#[test]
fn what_another_thread_did_meanwhile_is_beside_a_sync() {
    let lines = "1 fsync(3</r/f> <unfinished ...>\n\
                 2 ftruncate(4</r/f>, 7) = 0\n\
                 1 <... fsync resumed>) = 0\n";
    let path = || PathBuf::from("f");
    let sync = Event::Sync {
        path: path(),
        only_data: false,
        beside: 1,
    };
    let length = Event::SetLength {
        path: path(),
        length: 7,
    };
    assert_eq!(of(lines), [length, sync]);
}

#[test]
fn what_failed_or_was_killed_or_is_elsewhere_is_left_out() {
    let lines = "1 fsync(3</r/f>) = -1 EIO (Input/output error)\n\
                 1 fsync(3</elsewhere/f>) = 0\n\
                 1 ftruncate(3</r/f>(deleted), 0) = 0\n\
                 1 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                 1 fsync(3</r/f>) = ?\n\
                 2 fsync(3</r/f> <unfinished ...>\n";
    assert_eq!(of(lines), []);
}

#[test]
fn what_is_not_known_is_an_error() {
    for call in [
        "fallocate(3</r/f>, 0, 0, 7) = 0",
        "mmap(NULL, 8, PROT_READ|PROT_WRITE, MAP_SHARED, 3</r/f>, 0) = 0x1",
        "writev(3</r/f>, [], 0) = 0",
        "setxattr(\"/r/f\", 0x1, 0x1, 1, 0) = 0",
        "openat(AT_FDCWD</>, \"/r/f\", O_WRONLY|O_SYNC) = 3</r/f>",
        "rename(\"f\", \"g\") = 0",
        "rename(\"/r/f\", \"/g\") = 0",
    ] {
        let done = std::panic::catch_unwind(|| of(&format!("1 {call}\n")));
        assert!(done.is_err(), "{call}");
    }
}
