//! The memory of waiters and of lock holders.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use testkit::process::Kept;

use super::servers::Servers;
use crate::{
    Result, Setting,
    processes::{memory, of_program, settled},
    results::{Results, Subject, Table, Unit},
};

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    results.take(waiting(setting)?);
    let servers = Servers::start()?;
    servers.make_pods(1);
    let (title, id) = ("Memory while holding a lock", "memory-holding");
    results.take(holding(
        setting,
        &servers,
        Table::new(id, title, HOLDING, Unit::Bytes),
        "Pss",
    )?);
    let (title, id) = (
        "Memory while holding a lock, without what others share",
        "memory-own",
    );
    results.take(holding(
        setting,
        &servers,
        Table::new(id, title, OWN, Unit::Bytes),
        "Private_Dirty",
    )?);
    Ok(())
}

const WAITING: &str =
    "Resident memory of a process that waits, shared pages included: `Rss` of smaps_rollup.";

fn waiting(setting: &Setting) -> Result<Table> {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let fifo = place.join("pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let exit = place.join("exit");
    std::fs::create_dir(&exit)?;
    let mut subjects = vec![Subject::new("`sleep`", None, || {
        let mut sleep = Command::new("sleep");
        resident(sleep.arg("1000"), None)
    })];
    for (build, lockpipe, exitdir) in [
        (&setting.linked, 0.35, Some(0.45)),
        (&setting.dynamic, 1.0, None),
    ] {
        let pipe = fifo.clone();
        subjects.push(Subject::new(
            build.who("`lockpipe read`"),
            Some(lockpipe),
            move || {
                let mut read = Command::new(build.path("lockpipe"));
                resident(read.arg("--path").arg(&pipe).arg("read"), None)
            },
        ));
        let dir = exit.clone();
        subjects.push(Subject::new(
            build.who("`exitdir wait`"),
            exitdir,
            move || {
                let mut wait = Command::new(build.path("exitdir"));
                resident(wait.arg("--dir").arg(&dir).arg("wait"), None)
            },
        ));
        // The started process alone, and together with the guard that it starts.
        for (name, target, guard) in [
            ("`exitdir follow`", exitdir, false),
            ("`exitdir follow` and its guard", None, true),
        ] {
            let dir = exit.clone();
            subjects.push(Subject::new(build.who(name), target, move || {
                let program = build.path("exitdir");
                let mut follow = Command::new(&program);
                follow.arg("--dir").arg(&dir).arg("follow");
                let program = Some(program.as_path()).filter(|_| guard);
                resident(follow.args(["--", "sleep", "1000"]), program)
            }));
        }
    }
    for name in ["tini", "dumb-init", "catatonit"] {
        let Some(program) = crate::programs::peer(name) else {
            continue;
        };
        subjects.push(Subject::new(format!("`{name}`"), None, move || {
            resident(Command::new(&program).args(["--", "sleep", "1000"]), None)
        }));
    }
    let table = Table::new(
        "memory-waiting",
        "Memory while waiting",
        WAITING,
        Unit::Bytes,
    );
    table.measured(setting.rounds(5), subjects)
}

/// The resident memory of a command when it waits, or only of its processes that run this program.
fn resident(command: &mut Command, program: Option<&Path>) -> Result<Vec<u64>> {
    sum(command, program, "Rss")
}

fn sum(command: &mut Command, program: Option<&Path>, which: &str) -> Result<Vec<u64>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = Kept::spawn(command);
    settled(child.pid())?;
    let pids = program.map_or_else(|| vec![child.pid()], |it| of_program(child.pid(), it));
    for pid in &pids {
        settled(*pid)?;
    }
    let parts = pids.iter().map(|pid| memory(*pid, which));
    let sum = parts.sum::<Result<u64>>()?;
    end(child)?;
    Ok(vec![sum])
}

/// Asks the command to end, so that it releases what it holds. Some other programs do not end on
/// TERM.
fn end(mut child: Kept) -> Result {
    child.signal(Signal::SIGTERM);
    for _ in 0..200 {
        if child.0.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

const HOLDING: &str = "Memory of who holds a lock and runs CMD, its guard included, CMD not: `Pss` of smaps_rollup, in which a page that several share is divided among them.";

const OWN: &str = "What they have written, and nobody else has: `Private_Dirty`. The rest is pages of the program's file, which are there once however often it runs.";

/// `figure` is a name in `smaps_rollup`.
fn holding(
    setting: &Setting,
    servers: &Servers,
    table: Table,
    figure: &'static str,
) -> Result<Table> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("lock");
    let mut subjects = Vec::new();
    if let Some(flock) = crate::programs::peer("flock") {
        let file = file.clone();
        subjects.push(Subject::new("`flock` in a directory", None, move || {
            let mut command = Command::new(&flock);
            command.arg(&file).args(["sleep", "1000"]);
            sum(&mut command, Some(&flock), figure)
        }));
    }
    for build in setting.builds() {
        let store = format!("dir:{}", directory.path().join("locks").display());
        subjects.push(Subject::new(
            build.who("`lockheed run` in a directory"),
            None,
            move || {
                let mut run = servers.lockheed(build, &store);
                run.args(["run", "x", "--", "sleep", "1000"]);
                sum(&mut run, Some(&build.path("lockheed")), figure)
            },
        ));
        subjects.push(Subject::new(
            build.who("`lockheed run` in a cluster"),
            None,
            move || {
                let mut run = servers.lockheed(build, "kube");
                run.args(["run", "x", "--", "sleep", "1000"]);
                sum(&mut run, Some(&build.path("lockheed")), figure)
            },
        ));
        subjects.push(Subject::new(build.who("`cmlock run`"), None, move || {
            let mut run = servers.cmlock(build, 0);
            run.args(["run", "y", "--", "sleep", "1000"]);
            sum(&mut run, Some(&build.path("cmlock")), figure)
        }));
    }
    subjects.extend(peers(setting, servers, figure));
    table.measured(setting.rounds(5), subjects)
}

fn peers<'a>(setting: &'a Setting, servers: &'a Servers, figure: &'static str) -> Vec<Subject<'a>> {
    let mut peers = Vec::new();
    if let Some(program) = &setting.leader {
        peers.push(Subject::new(
            "client-go's leader election",
            None,
            move || {
                let mut leader = servers.leader(program, "us", "z");
                leader.args(["sleep", "1000"]);
                sum(&mut leader, Some(program), figure)
            },
        ));
    }
    if let Some(program) = crate::programs::peer("etcdctl") {
        let mut number = 0;
        peers.push(Subject::new("`etcdctl lock`", None, move || {
            let mut lock = servers.etcdctl(&program);
            // A lock of its own: the previous one may stay held for a while after a kill.
            number += 1;
            lock.args(["lock", &format!("{figure}-{number}"), "sleep", "1000"]);
            sum(&mut lock, Some(&program), figure)
        }));
    }
    peers
}
