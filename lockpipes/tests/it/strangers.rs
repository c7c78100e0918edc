//! Other users who use a pipe that belongs to root.

mod needs_root {
    use std::{
        ffi::OsStr,
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::Path,
        process::Command,
    };

    use testkit::process::copy_program;

    use crate::support::{Place, await_reader, finish_with, pid};

    /// A program, run by another user.
    fn by_another(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]);
        command.arg(program);
        command
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    #[ignore = "needs root"]
    fn whom_the_pipes_mode_keeps_out_lets_nobody_go_and_removes_nothing() {
        let place = Place::with_pipe();
        set_mode(&place.pipe(), 0o600);
        let tool = place.path().join("lockpipe");
        copy_program(Path::new(env!("CARGO_BIN_EXE_lockpipe")), &tool);
        let reader = place.start(&["read"]);
        await_reader(pid(&reader), &place.pipe());
        for what in ["write", "read", "delete"] {
            let mut command = by_another(&tool);
            let output = command.args(["-q", what, "-p"]).arg(place.pipe()).output();
            assert_eq!(output.unwrap().status.code(), Some(13), "{what}");
        }
        // The reader still waits, and can be let go.
        place.run(&["-qq", "write", "--timeout", "1m"], 0);
        finish_with(reader, 0);
    }

    /// A user who may write to the directory can end a wait, but cannot make anybody open a file
    /// that is not a pipe.
    // Holds lockpipes-2.
    #[test]
    #[ignore = "needs root"]
    fn whoever_swaps_the_pipe_ends_the_wait_and_leads_nobody_to_another_file() {
        let place = Place::with_pipe();
        set_mode(place.path(), 0o777);
        let victim = tempfile::NamedTempFile::new().unwrap();
        fs::write(victim.path(), "kept").unwrap();
        let state = || {
            let file = fs::metadata(victim.path()).unwrap();
            (file.ino(), file.len(), file.mtime_nsec(), file.atime_nsec())
        };
        let before = state();
        let reader = place.start(&["read"]);
        await_reader(pid(&reader), &place.pipe());
        let swap = "mv \"$1\" \"$1.old\" && ln -s \"$2\" \"$1\"";
        let mut shell = by_another("sh");
        let shell = shell.args(["-c", swap, "sh"]).arg(place.pipe());
        assert!(shell.arg(victim.path()).status().unwrap().success());
        finish_with(reader, 2);
        for what in ["create", "read", "write", "exists", "delete"] {
            place.run(&["-q", what], 17);
        }
        assert_eq!(state(), before);
        assert_eq!(fs::read(victim.path()).unwrap(), b"kept");
    }
}
