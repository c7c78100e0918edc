//! How often waiting processes are given the processor.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use testkit::process::{Kept, switches};

use super::servers::Servers;
use crate::{
    Result, Setting,
    processes::{of_program, settled},
    results::{Results, Subject, Table, Unit},
};

const WHAT: &str = "How often all threads of a process that waits, or holds a lock, were given a processor in a minute: the context switches of proc_pid_status(5).";

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let servers = &Servers::start()?;
    servers.make_pods(2);
    let directory = tempfile::tempdir()?;
    let fifo = directory.path().join("pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let exit = directory.path().join("exit");
    std::fs::create_dir(&exit)?;
    let build = &setting.linked;
    let ours = |binary: &str| Command::new(build.path(binary));
    // Other processes hold the locks that the measured ones wait for.
    let mut holders = Vec::new();
    let mut hold = servers.lockheed(build, "kube");
    holders.push(spawn(hold.args(["run", "held", "--", "sleep", "10000"])));
    let mut hold = servers.cmlock(build, 1);
    holders.push(spawn(hold.args(["run", "kept", "--", "sleep", "10000"])));
    holders
        .iter()
        .try_for_each(|holder| settled(holder.pid()))?;
    let mut commands: Vec<(&str, Command)> = Vec::new();
    let mut add = |who, mut command: Command, arguments: &[&str]| {
        command.args(arguments);
        commands.push((who, command));
    };
    add("`sleep`", Command::new("sleep"), &["10000"]);
    let mut lockpipe = ours("lockpipe");
    lockpipe.arg("--path").arg(&fifo);
    add("`lockpipe read`", lockpipe, &["read"]);
    for (who, arguments) in [
        ("`exitdir wait`", &["wait"][..]),
        ("`exitdir follow`", &["follow", "--", "sleep", "10000"]),
    ] {
        let mut exitdir = ours("exitdir");
        exitdir.arg("--dir").arg(&exit);
        add(who, exitdir, arguments);
    }
    let kube = || servers.lockheed(build, "kube");
    add(
        "`lockheed run` waits in a cluster",
        kube(),
        &["run", "held", "--", "true"],
    );
    add(
        "`lockheed run` holds in a cluster",
        kube(),
        &["run", "own", "--", "sleep", "10000"],
    );
    add(
        "`cmlock run` waits",
        servers.cmlock(build, 0),
        &["run", "kept", "--", "true"],
    );
    add(
        "`cmlock run` holds",
        servers.cmlock(build, 0),
        &["run", "own", "--", "sleep", "10000"],
    );
    let store = format!("dir:{}", directory.path().join("locks").display());
    let run = ["run", "own", "--", "sleep", "10000"];
    add(
        "`lockheed run` holds in a directory",
        servers.lockheed(build, &store),
        &run,
    );
    if let Some(program) = &setting.leader {
        let leader = servers.leader(program, "us", "elected");
        add(
            "client-go's leader election holds",
            leader,
            &["sleep", "10000"],
        );
        let leader = servers.leader(program, "them", "elected");
        add(
            "client-go's leader election waits",
            leader,
            &["sleep", "10000"],
        );
    }
    // All of them at once, since they do not affect each other.
    let started: Vec<(&str, Kept, Vec<i32>)> = commands
        .into_iter()
        .map(|(who, mut command)| {
            let child = spawn(&mut command);
            settled(child.pid())?;
            let program = std::fs::read_link(format!("/proc/{}/exe", child.pid()))?;
            let pids = of_program(child.pid(), &program);
            Ok((who, child, pids))
        })
        .collect::<Result<_>>()?;
    thread::sleep(Duration::from_secs(5));
    let minute = Duration::from_secs(if setting.quick { 6 } else { 60 });
    let counts = || -> std::io::Result<Vec<u64>> {
        started.iter().map(|(_, _, pids)| switches(pids)).collect()
    };
    let before = counts()?;
    thread::sleep(minute);
    let target = |who: &str| {
        if who.contains("client-go") || who.contains("holds") || who == "`sleep`" {
            None
        } else {
            Some(if who.contains("exitdir") || who.contains("lockpipe") {
                0.0
            } else {
                2.0
            })
        }
    };
    let after = counts()?;
    let counted = started.iter().zip(before.iter().zip(after));
    let counted = counted.map(|((who, ..), (before, after))| {
        let count = after.saturating_sub(*before) * 60 / minute.as_secs();
        Subject::new(*who, target(who), move || Ok(vec![count]))
    });
    let subjects: Vec<_> = counted.collect();
    let table = Table::new("wake-ups", "Wake-ups a minute", WHAT, Unit::Count);
    results.take(table.measured(1, subjects)?);
    Ok(())
}

fn spawn(command: &mut Command) -> Kept {
    Kept::spawn(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}
