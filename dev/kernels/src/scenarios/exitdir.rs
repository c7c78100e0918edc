//! Leaders and followers.

use std::fs;

use nix::sys::signal::Signal;
use testkit::{
    eventually,
    process::{Kept, assert_sleeps},
};

use super::{family::Family, scenarios};
use crate::place::{Place, child_of, ends, goes, send};

scenarios![
    followers_learn_how_the_leader_ended,
    a_killed_leader_is_noticed,
    a_killed_leader_takes_its_command_along,
    a_killed_follower_takes_its_tree_along,
    a_killed_guard_takes_its_tree_along,
    a_tree_that_ignores_the_signal_is_killed,
    a_command_leaves_nobody_behind,
    a_signal_is_kept_until_it_is_cleared,
    one_leads_at_a_time,
    timeouts_and_signals_end_the_wait,
    the_first_process_of_a_container_leads_and_follows,
    a_follower_sleeps,
];

/// A leader that exits with status 7 when the file `go` exists.
fn leader(place: &Place) -> Kept {
    let script = "echo $$ >leader; until [ -e go ]; do sleep 0.05; done; exit 7";
    let leader = place.start("exitdir", &["lead", "--", "sh", "-c", script]);
    place.pid("leader");
    leader
}

/// One follower of each kind. All of them have seen that the leader lives.
fn followers(place: &Place) -> [Kept; 3] {
    let commands = [
        &["wait"][..],
        &["wait", "--leader-status"],
        &["follow", "--", "sleep", "1000"],
    ];
    commands.map(|arguments| {
        let follower = place.start("exitdir", arguments);
        eventually("the follower watches", || watches(follower.pid()));
        follower
    })
}

/// Whether a follower watches. By then it has looked for the leader. Before it has its own name, it
/// may still have our descriptors.
fn watches(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .into_iter()
        .flatten()
        .flatten();
    let mut infos = infos.map(|info| fs::read_to_string(info.path()).unwrap_or_default());
    name.is_ok_and(|name| name == "exitdir\n") && infos.any(|info| info.contains("inotify wd"))
}

fn with_directory(place: &Place) -> &Place {
    fs::create_dir(place.path("exit")).unwrap();
    place
}

fn followers_learn_how_the_leader_ended(place: &Place) {
    let leader = leader(with_directory(place));
    let followers = followers(place);
    place.write("go", "");
    ends(leader, 7);
    let expected = [0, 7, 0];
    followers
        .into_iter()
        .zip(expected)
        .for_each(|(it, status)| drop(ends(it, status)));
    let record = place.expect("exitdir", &["status", "-o", "json"], 0);
    assert!(
        record.contains(r#""status":7"#) || record.contains(r#""status": 7"#),
        "{record}"
    );
}

fn a_killed_leader_is_noticed(place: &Place) {
    let leader = leader(with_directory(place));
    let followers = followers(place);
    send(leader.pid(), Signal::SIGKILL);
    let expected = [3, 122, 122];
    followers
        .into_iter()
        .zip(expected)
        .for_each(|(it, status)| drop(ends(it, status)));
    goes(place.pid("leader"));
    place.expect("exitdir", &["status"], 1);
}

fn a_killed_leader_takes_its_command_along(place: &Place) {
    Family::start(
        with_directory(place),
        "exitdir",
        &["lead", "--grace", "300ms"],
    )
    .loses_its_client();
}

fn a_killed_follower_takes_its_tree_along(place: &Place) {
    Family::start(
        with_directory(place),
        "exitdir",
        &["follow", "--grace", "300ms"],
    )
    .loses_its_client();
}

fn a_killed_guard_takes_its_tree_along(place: &Place) {
    let family = Family::start(
        with_directory(place),
        "exitdir",
        &["follow", "--grace", "300ms"],
    );
    send(family.pid("guard"), Signal::SIGKILL);
    family.ends(125);
}

fn a_tree_that_ignores_the_signal_is_killed(place: &Place) {
    let family = Family::start(
        with_directory(place),
        "exitdir",
        &["follow", "--grace", "300ms"],
    );
    place.expect("exitdir", &["exit"], 0);
    family.ends(0);
}

/// The command ends by itself, but its daemon does not.
fn a_command_leaves_nobody_behind(place: &Place) {
    let arguments = ["lead", "--grace", "300ms"];
    let family = Family::start(with_directory(place), "exitdir", &arguments);
    send(family.pid("command"), Signal::SIGUSR1);
    family.ends(138);
    let record = place.expect("exitdir", &["status", "-o", "json"], 0);
    assert!(record.contains("USR1") || record.contains("10"), "{record}");
}

fn a_signal_is_kept_until_it_is_cleared(place: &Place) {
    with_directory(place).expect("exitdir", &["status"], 1);
    place.expect("exitdir", &["exit", "--status", "9"], 0);
    place.expect("exitdir", &["exit", "--status", "8"], 0);
    place.expect("exitdir", &["wait", "--leader-status"], 9);
    place.expect("exitdir", &["follow", "--", "touch", "ran"], 0);
    assert!(!place.path("ran").exists());
    place.expect("exitdir", &["lead", "--", "true"], 125);
    place.expect("exitdir", &["clear"], 0);
    place.expect("exitdir", &["status"], 1);
    assert_eq!(fs::read_dir(place.path("exit")).unwrap().count(), 0);
}

fn one_leads_at_a_time(place: &Place) {
    let leader = leader(with_directory(place));
    place.expect("exitdir", &["lead", "--", "touch", "ran"], 125);
    place.expect("exitdir", &["clear"], 16);
    assert!(!place.path("ran").exists());
    place.write("go", "");
    ends(leader, 7);
    place.expect(
        "exitdir",
        &["lead", "--clear", "--", "sh", "-c", "exit 5"],
        5,
    );
    place.expect("exitdir", &["wait", "--leader-status"], 5);
}

fn timeouts_and_signals_end_the_wait(place: &Place) {
    with_directory(place).expect("exitdir", &["wait", "--timeout", "100ms"], 110);
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let [waiter, _, follower] = followers(place);
        send(waiter.pid(), signal);
        ends(waiter, status);
        // The forwarded signal ends the follower's command.
        child_of(child_of(follower.pid()));
        send(follower.pid(), signal);
        ends(follower, status);
    }
}

fn the_first_process_of_a_container_leads_and_follows(place: &Place) {
    let contained = ["--pid", "--fork", "--mount-proc", "exitdir"];
    let daemon = "(setsid sleep 1000 &); exit 7";
    let lead = [&contained[..], &["lead", "--", "sh", "-c", daemon]].concat();
    with_directory(place).expect("unshare", &lead, 7);
    place.expect("exitdir", &["clear"], 0);
    let follow = [&contained[..], &["follow", "--", "sleep", "1000"]].concat();
    let container = place.start("unshare", &follow);
    let first = child_of(container.pid());
    eventually("the follower watches", || watches(first));
    place.expect("exitdir", &["exit"], 0);
    ends(container, 0);
}

/// Without extended attributes (tmpfs before Linux 6.6) or files without a name (overlayfs before
/// 6.1), a follower checks four times a second whether its leader lives.
fn a_follower_sleeps(place: &Place) {
    let leader = leader(with_directory(place));
    let followers = followers(place);
    if place.file_system() == "ext4" {
        assert_sleeps(&followers.each_ref().map(Kept::pid));
    }
    place.write("go", "");
    ends(leader, 7);
    let expected = [0, 7, 0];
    followers
        .into_iter()
        .zip(expected)
        .for_each(|(it, status)| drop(ends(it, status)));
}
