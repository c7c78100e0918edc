//! The time from the death of a lock's holder to the next holder.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::servers::Servers;
use crate::{
    Result, Setting,
    contest::Contest,
    part::now,
    processes::tree,
    programs::peer,
    results::{Results, Subject, Table, Unit},
};

/// The length of leases here.
const LEASE: Duration = Duration::from_secs(4);

const WHAT: &str = "The holder, its command and all else that it has started are killed (SIGKILL), until another holds the lock. Leases are 4 s long; what is freed by the kernel, or by the end of a Pod, has none. With cmlock the Pod is deleted right after the kill.";

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let servers = &Servers::start()?;
    let build = &setting.linked;
    let rounds = setting.rounds(5);
    let mut subjects = Vec::new();
    if let Some(program) = peer("flock") {
        subjects.push(Subject::new("`flock`", None, move || {
            once(None, &|_, contest| {
                let mut flock = Command::new(&program);
                flock.arg(contest.place().0.join("lock"));
                flock
            })
        }));
    }
    subjects.push(Subject::new(
        "`lockheed run` in a directory",
        None,
        move || {
            once(None, &|_, contest| {
                let store = format!("dir:{}", contest.place().0.join("locks").display());
                let mut run = servers.lockheed(build, &store);
                run.args(["run", "x", "--duration", "4s", "--"]);
                run
            })
        },
    ));
    subjects.push(Subject::new("`cmlock run`", None, move || {
        servers.make_pods(2);
        once(Some(servers), &|number, _| {
            let mut run = servers.cmlock(build, number);
            run.args(["run", "crash", "--"]);
            run
        })
    }));
    subjects.push(Subject::new(
        "`lockheed run` in a cluster",
        None,
        move || {
            once(None, &|_, _| {
                let mut run = servers.lockheed(build, "kube");
                run.args(["run", "crash", "--duration", "4s", "--"]);
                run
            })
        },
    ));
    if let Some(program) = &setting.leader {
        subjects.push(Subject::new(
            "client-go's leader election",
            None,
            move || {
                once(None, &|number, _| {
                    let mut leader = Command::new(program);
                    leader.args(["-lease", "4s", "-renew", "3s", "-retry", "1s"]);
                    let rest = servers.leader(program, &format!("us-{number}"), "crash");
                    leader.args(rest.get_args());
                    leader
                })
            },
        ));
    }
    if let Some(program) = peer("etcdctl") {
        subjects.push(Subject::new("`etcdctl lock`", None, move || {
            once(None, &|_, _| {
                let mut lock = servers.etcdctl(&program);
                lock.args(["lock", "--ttl", "4", "--", "crash"]);
                lock
            })
        }));
    }
    let title = "A holder dies, and the next one holds the lock";
    let table = Table::new("crash", title, WHAT, Unit::Nanoseconds);
    results.take(table.measured(rounds, subjects)?);
    Ok(())
}

/// One death of a holder while another contender waits. `servers` is given if the holder's Pod ends
/// with it.
fn once(
    servers: Option<&Servers>,
    command: &dyn Fn(usize, &Contest) -> Command,
) -> Result<Vec<u64>> {
    let mut contest = Contest::new()?;
    let section = |place: PathBuf| -> Result<[std::ffi::OsString; 4]> {
        let us = std::env::current_exe()?.into_os_string();
        Ok([us, "section".into(), place.into(), "--for-ever".into()])
    };
    for number in 0..2 {
        let mut command = command(number, &contest);
        command.args(section(contest.place().0)?);
        contest.start(command)?;
        // The first contender holds the lock.
        let begun = Instant::now();
        while number == 0 && began(&contest)?.is_empty() {
            if begun.elapsed() > LEASE * 10 {
                return Err("nobody holds the lock".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    contest.wait_until_all_wait()?;
    let victims = tree(contest.pids()[0]);
    let killed = now()?;
    for victim in victims {
        let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
    }
    if let Some(servers) = servers {
        let delete = [
            "delete",
            "pod",
            "pod-0",
            "--grace-period=0",
            "--force",
            "--wait=false",
        ];
        servers.namespace.kubectl(&delete, None);
    }
    let begun = Instant::now();
    loop {
        if let Some(next) = began(&contest)?.get(1) {
            let took = next.saturating_sub(killed);
            for process in tree(contest.pids()[1]) {
                let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
            }
            contest.stop()?;
            return Ok(vec![took]);
        }
        if begun.elapsed() > LEASE * 10 {
            return Err("nobody takes it over".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// When each section began.
fn began(contest: &Contest) -> Result<Vec<u64>> {
    let log = fs::read_to_string(contest.place().0.join("log")).unwrap_or_default();
    let begins = log.lines().filter_map(|line| line.strip_prefix("begin "));
    let times = begins.map(|rest| Ok(rest.split(' ').next().unwrap_or_default().parse()?));
    times.collect()
}
