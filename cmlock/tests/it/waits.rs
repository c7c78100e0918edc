//! Reports on a wait, without a terminal.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use nix::sys::signal::Signal;
use testkit::{eventually, process::Kept};

use crate::support::{Place, unix_time};

fn lines(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "no cluster"]
fn a_wait_without_a_terminal_is_told_when_it_begins_changes_and_ends() {
    let place = Place::with_pods(&["a", "b", "c"]);
    let directory = tempfile::tempdir().unwrap();
    let (log, quiet) = (directory.path().join("log"), directory.path().join("quiet"));
    let start = |log: &Path, pod: &str, arguments: &[&str]| {
        let mut command = place.cmlock(pod, arguments);
        command.stdout(Stdio::null());
        Kept::spawn(command.stderr(File::create(log).unwrap()))
    };
    let expires = unix_time() + 3600;
    place.put("x", "a", Some(expires));
    let waiter = start(&log, "b", &["run", "x", "--", "true"]);
    let silent = start(&quiet, "c", &["-q", "run", "x", "--", "true"]);
    eventually("the beginning is told", || lines(&log).len() == 1);
    // The same holder is not reported again.
    for more in 1..4 {
        place.put("x", "a", Some(expires + more));
    }
    let gone = ["delete", "configmap", "x"];
    let mut before = place.object("x");
    before["metadata"]["ownerReferences"][0]["name"] = "c".into();
    before["metadata"]["ownerReferences"][0]["uid"] = place.uid("pods", "c").into();
    for key in ["resourceVersion", "managedFields"] {
        before["metadata"].as_object_mut().unwrap().remove(key);
    }
    place
        .namespace
        .kubectl(&["replace", "-f", "-"], Some(&before));
    eventually("the next holder is told", || lines(&log).len() == 2);
    silent.signal(Signal::SIGTERM);
    assert_eq!(silent.finish().0, 143);
    place.namespace.kubectl(&gone, None);
    assert_eq!(waiter.finish().0, 0);
    let lines = lines(&log);
    assert_eq!(lines.len(), 3, "{lines:?}");
    let by = |pod: &str| format!("[INFO  cmlock] lock x: waiting: held by Pod \"{pod}\" until 20");
    assert!(lines[0].starts_with(&by("a")), "{lines:?}");
    assert!(lines[1].starts_with(&by("c")), "{lines:?}");
    let over = "lock x: acquired, without expiry, after ";
    assert!(lines[2].contains(over), "{lines:?}");
    assert_eq!(fs::read_to_string(&quiet).unwrap(), "");
}

#[test]
#[ignore = "no cluster"]
fn who_does_not_wait_says_nothing_more() {
    let place = Place::with_pods(&["a", "b"]);
    place.put("x", "b", None);
    for arguments in [
        &["acquire", "x", "--no-wait"][..],
        &["run", "x", "--no-wait", "--", "true"],
    ] {
        let (_, _, stderr) = place.run("a", arguments);
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("cmlock: "), "{stderr}");
    }
}
