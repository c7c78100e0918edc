//! While nothing happens, a waiter sleeps. For what the system refuses there is a substitute or an
//! error.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{libc, unistd::Pid};
use testkit::{
    process::{copy_program, switches},
    refusal::{Call, refuse},
};

use crate::support::{
    Place, await_reader, await_writer, eventually, expect, finish, finish_with, pid, unshare,
};

/// How long a wait does not use events yet, and a little more.
const SETTLED: Duration = Duration::from_millis(150);

#[track_caller]
fn sleeps(process: Pid) {
    testkit::process::assert_sleeps(&[process.as_raw()]);
}

fn await_waiter(command: &str, waiter: &Child, pipe: &Path) {
    match command {
        "read" => await_reader(pid(waiter), pipe),
        _ => await_writer(pid(waiter)),
    }
}

// Holds lockpipes-6.
#[test]
fn who_waits_sleeps() {
    for arguments in [
        &["read"][..],
        &["write"],
        &["read", "--timeout", "1h"],
        &["write", "--timeout", "1h"],
    ] {
        let place = Place::with_pipe();
        let mut waiter = place.start(arguments);
        await_waiter(arguments[0], &waiter, &place.pipe());
        sleeps(pid(&waiter));
        waiter.kill().unwrap();
        finish(waiter);
    }
}

#[test]
fn a_reader_that_has_met_a_writer_sleeps_when_its_pipe_is_deleted() {
    let place = Place::with_pipe();
    let reader = place.start(&["read"]);
    await_reader(pid(&reader), &place.pipe());
    let writer = File::options().write(true).open(place.pipe()).unwrap();
    // Long enough for the wait to use events.
    thread::sleep(Duration::from_millis(300));
    fs::remove_file(place.pipe()).unwrap();
    sleeps(pid(&reader));
    drop(writer);
    finish_with(reader, 0);
}

/// This takes the median of nine. Other work on the machine may make it longer, so there are
/// several tries.
// Holds lockpipes-5.
#[test]
fn a_deleted_pipe_is_noticed_in_milliseconds() {
    let notice = |command: &str| {
        let place = Place::with_pipe();
        let waiter = place.start(&[command]);
        await_waiter(command, &waiter, &place.pipe());
        thread::sleep(SETTLED);
        let deleted = Instant::now();
        fs::remove_file(place.pipe()).unwrap();
        finish_with(waiter, 2);
        deleted.elapsed()
    };
    for command in ["read", "write"] {
        let middle = || {
            let mut took: Vec<_> = (0..9).map(|_| notice(command)).collect();
            took.sort();
            took[4]
        };
        let mut tries = (0..5).map(|_| middle());
        assert!(
            tries.any(|took| took < Duration::from_millis(100)),
            "{command}"
        );
    }
}

/// Closing the descriptors for events must not delay the end of a wait.
// Holds lockpipes-7.
#[test]
fn who_is_let_go_ends_as_soon_as_cat() {
    let let_go = |waiter: Child, place: &Place| {
        thread::sleep(SETTLED);
        let written = Instant::now();
        drop(File::options().write(true).open(place.pipe()).unwrap());
        finish_with(waiter, 0);
        written.elapsed()
    };
    let ours = || {
        let place = Place::with_pipe();
        let reader = place.start(&["read"]);
        await_reader(pid(&reader), &place.pipe());
        let_go(reader, &place)
    };
    let cats = || {
        let place = Place::with_pipe();
        let mut cat = Command::new("cat");
        let cat = cat
            .arg(place.pipe())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let_go(cat, &place)
    };
    let middle = |measure: &dyn Fn() -> Duration| {
        let mut all: Vec<_> = (0..9).map(|_| measure()).collect();
        all.sort();
        all[4]
    };
    let is_as_soon = || middle(&ours) < middle(&cats) + Duration::from_millis(4);
    assert!((0..5).any(|_| is_as_soon()));
}

/// Other files in the directory wake a waiter only for a while, and hide nothing from it.
// Holds lockpipes-6.
#[test]
fn in_a_busy_directory_who_waits_sleeps_all_the_same() {
    for command in ["read", "write"] {
        let place = Place::with_pipe();
        let waiter = place.start(&[command]);
        await_waiter(command, &waiter, &place.pipe());
        thread::sleep(SETTLED);
        let come_and_go = || {
            fs::write(place.path().join("other"), "").unwrap();
            fs::remove_file(place.path().join("other")).unwrap();
        };
        let woken = || switches(&[pid(&waiter).as_raw()]).unwrap();
        let woken_by_a_thousand = || {
            let before = woken();
            // As far as the machine allows, the waiter sees each file before the next one comes.
            (0..1000).for_each(|_| {
                come_and_go();
                thread::sleep(Duration::from_micros(100));
            });
            woken() - before
        };
        let first = woken_by_a_thousand();
        assert!(first < 200, "{command}: woken {first} times");
        assert_eq!(woken_by_a_thousand(), 0, "{command}");
        fs::rename(place.pipe(), place.path().join("elsewhere")).unwrap();
        finish_with(waiter, 2);
    }
}

/// The pipe may be unlinked, moved, or replaced from the same directory or from another one.
// Holds lockpipes-5.
#[test]
fn a_pipe_that_goes_in_any_way_is_missed() {
    let elsewhere = Place::with_pipe();
    let ways: [&dyn Fn(&Place); 4] = [
        &|place| fs::remove_file(place.pipe()).unwrap(),
        &|place| fs::rename(place.pipe(), elsewhere.path().join("moved")).unwrap(),
        &|place| {
            let other = place.path().join("other");
            fs::write(&other, "").unwrap();
            fs::rename(other, place.pipe()).unwrap();
        },
        &|place| {
            let other = elsewhere.path().join("other");
            fs::write(&other, "").unwrap();
            fs::rename(other, place.pipe()).unwrap();
        },
    ];
    for calls in [
        &[][..],
        &[NOTIFY],
        &[NOTIFY, Call::any(libc::SYS_inotify_init1)],
    ] {
        for go in ways {
            for command in ["read", "write"] {
                let place = Place::with_pipe();
                let mut waiting = place.lockpipe();
                waiting.args(["-qq", command]).stderr(Stdio::piped());
                for call in calls {
                    refuse(&mut waiting, *call, libc::EPERM);
                }
                let waiter = waiting.spawn().unwrap();
                await_waiter(command, &waiter, &place.pipe());
                thread::sleep(SETTLED);
                go(&place);
                finish_with(waiter, 2);
            }
        }
    }
}

/// The events of the pipe's directory, `F_NOTIFY` of `fcntl(2)`.
const NOTIFY: Call = Call::with(libc::SYS_fcntl, 1, libc::F_NOTIFY.cast_unsigned());

// Holds lockpipes-9.
#[test]
fn each_call_can_be_refused() {
    let calls = [
        (&[NOTIFY][..], None),
        (
            &[NOTIFY, Call::any(libc::SYS_inotify_init1)],
            Some("inotify"),
        ),
        (
            &[NOTIFY, Call::any(libc::SYS_inotify_add_watch)],
            Some("inotify"),
        ),
        (&[Call::any(libc::SYS_tgkill)], None),
    ];
    for (calls, warned) in calls {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for command in ["read", "write"] {
                ends_when_deleted(command, calls, errno, warned);
                let place = Place::with_pipe();
                let mut waiting = place.lockpipe();
                waiting.args(["-q", command, "--timeout", "300ms"]);
                for call in calls {
                    refuse(&mut waiting, *call, errno);
                }
                let stderr = expect(&waiting.output().unwrap(), 110);
                // A reader looks before it gives up.
                if let ("read", Some(warned)) = (command, warned) {
                    assert!(stderr.contains(warned), "{stderr}");
                }
            }
        }
    }
    let place = Place::new();
    let mut create = place.lockpipe();
    create.args(["-qq", "create"]);
    let make = Call::any(libc::SYS_mknodat);
    let output = refuse(&mut create, make, libc::EPERM).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("(mknod)"), "{stderr}");
}

fn ends_when_deleted(command: &str, calls: &[Call], errno: i32, warned: Option<&str>) {
    let place = Place::with_pipe();
    let mut waiting = place.lockpipe();
    waiting.args(["-q", command]).stderr(Stdio::piped());
    for call in calls {
        refuse(&mut waiting, *call, errno);
    }
    let waiter = waiting.spawn().unwrap();
    await_waiter(command, &waiter, &place.pipe());
    thread::sleep(SETTLED);
    fs::remove_file(place.pipe()).unwrap();
    let stderr = finish_with(waiter, 2);
    assert_eq!(
        stderr.contains("checking once a second"),
        warned.is_some(),
        "{stderr}"
    );
    assert!(stderr.contains(warned.unwrap_or("removed")), "{stderr}");
}

mod needs_root {
    use super::*;

    /// The limit is for processes and threads together, and does not apply to root.
    // Holds lockpipes-9.
    #[test]
    #[ignore = "needs root"]
    fn without_threads_a_writer_waits_all_the_same() {
        let place = Place::with_pipe();
        fs::set_permissions(
            place.pipe(),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .unwrap();
        let tool = place.path().join("lockpipe");
        copy_program(Path::new(env!("CARGO_BIN_EXE_lockpipe")), &tool);
        let write = |more: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "54321", "--clear-groups", "prlimit", "--nproc=1"]);
            command
                .arg(&tool)
                .args(["-q", "write", "-p"])
                .arg(place.pipe())
                .args(more);
            command.stderr(Stdio::piped()).spawn().unwrap()
        };
        let stderr = finish_with(write(&["--timeout", "1h"]), 11);
        assert!(
            stderr.ends_with("(start a thread): Resource temporarily unavailable\n"),
            "{stderr}"
        );
        let writer = write(&[]);
        eventually("it blocks in open", || {
            let call = fs::read_to_string(format!("/proc/{}/wchan", writer.id()));
            call.is_ok_and(|call| call.contains("fifo") || call.contains("wait_for_partner"))
        });
        place.run(&["-qq", "read"], 0);
        let stderr = finish_with(writer, 0);
        assert!(
            stderr.contains("nobody will notice if the pipe"),
            "{stderr}"
        );
    }
}

/// A shell's background commands ignore Ctrl-C, and a command under nohup ignores HUP.
#[test]
fn signals_that_were_ignored_stay_so() {
    for command in ["read", "write"] {
        let place = Place::with_pipe();
        let script = "trap '' INT HUP; \"$0\" -qq \"$1\" -p \"$2\" & echo $!; wait $!";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_lockpipe"), command]);
        let mut shell = shell
            .arg(place.pipe())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let waiter = Pid::from_raw(line.trim().parse().unwrap());
        match command {
            "read" => await_reader(waiter, &place.pipe()),
            _ => await_writer(waiter),
        }
        for signal in [
            nix::sys::signal::Signal::SIGINT,
            nix::sys::signal::Signal::SIGHUP,
        ] {
            nix::sys::signal::kill(waiter, signal).unwrap();
        }
        let other = if command == "read" { "write" } else { "read" };
        place.run(&["-qq", other], 0);
        assert!(shell.wait().unwrap().success(), "{command}");
    }
}

/// An exec probe may leave a child behind each time, which would become a zombie.
#[test]
fn as_pid_1_it_reaps_what_it_inherits() {
    for command in ["read", "write"] {
        let place = Place::with_pipe();
        let mut outer = unshare(&["--pid", "--fork", "--kill-child", "--mount-proc"]);
        let script = "(sh -c 'sleep 0.2 & : > \"$0\"' \"$1/left\" &) ; exec \"$0\" -qq \"$2\" -p \"$1/example.pipe\"";
        outer.args(["sh", "-c", script, env!("CARGO_BIN_EXE_lockpipe")]);
        let outer = outer
            .arg(place.path())
            .arg(command)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let mut init = String::new();
        eventually("the orphan has begun", || {
            init = fs::read_to_string(&children).unwrap().trim().to_owned();
            place.path().join("left").exists() && !init.is_empty()
        });
        let init_pid = Pid::from_raw(init.parse().unwrap());
        match command {
            "read" => await_reader(init_pid, &place.pipe()),
            _ => await_writer(init_pid),
        }
        let inherited = format!("/proc/{init}/task/{init}/children");
        eventually("the orphan is reaped", || {
            fs::read_to_string(&inherited).unwrap().trim().is_empty()
        });
        let other = if command == "read" { "write" } else { "read" };
        place.run(&["-qq", other], 0);
        finish_with(outer, 0);
    }
}
