//! No command ever changes a file that is not a FIFO.

use std::{
    fs::{self, Metadata},
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::Path,
    process::Command,
};

use crate::support::{Place, expect, lockpipe};

const COMMANDS: [&[&str]; 5] = [
    &["create"],
    &["read", "--timeout", "1s"],
    &["write", "--timeout", "1s"],
    &["exists"],
    &["delete"],
];

/// Everything that a command could change about a file, its access time included.
fn state(path: &Path) -> impl PartialEq + std::fmt::Debug + use<> {
    let of = |m: &Metadata| {
        (
            m.ino(),
            m.mode(),
            m.len(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime_nsec(),
            m.atime_nsec(),
        )
    };
    // This comes before the metadata, because it is an access, too.
    let content = if path.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    let metadata = fs::symlink_metadata(path).unwrap();
    (of(&metadata), content)
}

#[track_caller]
fn stays_as_it_is(path: &Path, what: &str) {
    let before = state(path);
    for command in COMMANDS {
        let stderr = expect(
            &lockpipe()
                .args(command)
                .arg("--path")
                .arg(path)
                .output()
                .unwrap(),
            17,
        );
        assert!(
            stderr.contains(&format!("{what} is there, and is left alone")),
            "{command:?}: {stderr}"
        );
        assert_eq!(state(path), before, "{command:?}");
    }
}

// Holds lockpipes-2.
#[test]
fn a_regular_file() {
    let place = Place::new();
    fs::write(place.pipe(), "content\n").unwrap();
    stays_as_it_is(&place.pipe(), "a regular file");
}

// Holds lockpipes-2.
#[test]
fn a_directory() {
    let place = Place::new();
    fs::create_dir(place.pipe()).unwrap();
    stays_as_it_is(&place.pipe(), "a directory");
}

// Holds lockpipes-2.
#[test]
fn a_socket() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.pipe()).unwrap();
    stays_as_it_is(&place.pipe(), "a socket");
}

// Holds lockpipes-2.
#[test]
fn a_device() {
    stays_as_it_is(Path::new("/dev/null"), "a character device");
}

mod needs_root {
    use super::*;

    /// Permissions protect `/dev/null` from ordinary users. A device that the test creates is not
    /// protected, but only root can create one.
    // Holds lockpipes-2.
    #[test]
    #[ignore = "needs root"]
    fn a_device_that_could_be_deleted() {
        let place = Place::new();
        let made = Command::new("mknod")
            .arg(place.pipe())
            .args(["c", "1", "3"])
            .status()
            .unwrap();
        assert!(made.success());
        stays_as_it_is(&place.pipe(), "a character device");
    }
}
