//! A thousand waiters for one lock: how much each hand-off costs all of them.

use std::{collections::BTreeMap, path::Path};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use testkit::process::switches;

use super::servers::Servers;
use crate::{
    Result, Setting,
    contest::Contest,
    processes::of_program,
    programs::part,
    results::{Results, Row, Table, Unit},
};

const WHAT: &str = "What one hand-off costs all who wait together. In a directory each is a process, `lockheed run`; in a cluster they are clients of one process, each with a connection and a watch of its own.";

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let waiters = if setting.quick { 50 } else { 1000 };
    let servers = Servers::start()?;
    let title = "A thousand wait for one lock";
    let mut counts = Table::new("crowd", title, WHAT, Unit::Count);
    let mut times = Table::new(
        "crowd-time",
        "The same: how long a hand-off takes",
        WHAT,
        Unit::Nanoseconds,
    );
    for fair in [false, true] {
        directory(setting, &servers, waiters, fair, (&mut counts, &mut times))?;
    }
    for fair in [false, true] {
        cluster(setting, &servers, waiters, fair, (&mut counts, &mut times))?;
    }
    results.take(counts);
    results.take(times);
    Ok(())
}

/// How many hand-offs are measured.
const HAND_OFFS: usize = 20;

fn directory(
    setting: &Setting,
    servers: &Servers,
    waiters: usize,
    fair: bool,
    (counts, times): (&mut Table, &mut Table),
) -> Result {
    // To join a queue, each contender needs a write, which all others read.
    let waiters = if fair { waiters.min(300) } else { waiters };
    // Three hundred in turn use up the instances that a user may have.
    let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let mut contest = Contest::new()?;
    let place = contest.place();
    let locks = place.0.join("locks");
    let program = setting.linked.path("lockheed");
    let store = format!("dir:{}", locks.display());
    for _ in 0..waiters {
        let mut run = servers.lockheed(&setting.linked, &store);
        run.args(["run", "crowd"]).args(fair.then_some("--fair"));
        run.arg("--")
            .arg(std::env::current_exe()?)
            .arg("section")
            .arg(&place.0);
        contest.enter(&run)?;
    }
    contest.wait_until_all_wait()?;
    let all = || -> Vec<i32> {
        let pids = contest.pids();
        let trees = pids.iter().flat_map(|pid| of_program(*pid, &program));
        trees.collect()
    };
    // A process that ends meanwhile had its turn.
    let switched = || -> BTreeMap<i32, u64> {
        let counted = |pid| Some((pid, switches(&[pid]).ok()?));
        all().into_iter().filter_map(counted).collect()
    };
    let waiting = switched();
    watch(&events, &locks)?;
    let took = contest.hand_offs(HAND_OFFS)?;
    let written = count(&events)?;
    // Contenders that still wait for their first turn.
    let woken = switched().into_iter().filter_map(|(pid, after)| {
        let before = waiting.get(&pid)?;
        Some(after.saturating_sub(*before))
    });
    let woken: u64 = woken.sum();
    let number = u64::try_from(took.len())?;
    let fair = if fair { " --fair" } else { "" };
    let who = format!("{waiters} × `lockheed run{fair}` in a directory");
    counts.rows.push(Row::new(
        format!("{who}: wake-ups"),
        &[woken / number],
        None,
        None,
    )?);
    counts.rows.push(Row::new(
        format!("{who}: changes of files"),
        &[written / number],
        None,
        None,
    )?);
    times.rows.push(Row::new(who, &took, None, None)?);
    contest.stop()
}

fn cluster(
    setting: &Setting,
    servers: &Servers,
    waiters: usize,
    fair: bool,
    (counts, times): (&mut Table, &mut Table),
) -> Result {
    // To join a queue, each contender needs a write, and a thousand writes take a while.
    let waiters = if fair { waiters.min(300) } else { waiters };
    let mut contest = Contest::new()?;
    let clients = waiters.to_string();
    let mut contend = part(&["contend", "--clients", &clients])?;
    contend
        .arg("--kubeconfig")
        .arg(&servers.user)
        .arg(contest.place().0);
    contend.args(fair.then_some("--fair"));
    contest.start(contend)?;
    contest.wait_until_all_wait()?;
    let before = (switches(&contest.pids())?, servers.writes());
    let hand_offs = if setting.quick { 5 } else { HAND_OFFS };
    let took = contest.hand_offs(hand_offs)?;
    let woken = switches(&contest.pids())?.saturating_sub(before.0);
    let written = servers.writes().saturating_sub(before.1);
    let number = u64::try_from(took.len())?;
    let turn = if fair { " in turn" } else { "" };
    let who = format!("{waiters} clients{turn} in a cluster");
    counts.rows.push(Row::new(
        format!("{who}: wake-ups"),
        &[woken / number],
        None,
        None,
    )?);
    counts.rows.push(Row::new(
        format!("{who}: writes to the server"),
        &[written / number],
        None,
        None,
    )?);
    times.rows.push(Row::new(who, &took, None, None)?);
    contest.stop()
}

/// From now on, counts events of files in this directory.
fn watch(inotify: &Inotify, directory: &Path) -> Result {
    let changes = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(directory, changes)?;
    Ok(())
}

fn count(inotify: &Inotify) -> Result<u64> {
    let mut count = 0;
    loop {
        match inotify.read_events() {
            Ok(events) => count += u64::try_from(events.len())?,
            Err(nix::errno::Errno::EAGAIN) => return Ok(count),
            Err(error) => return Err(error.into()),
        }
    }
}
