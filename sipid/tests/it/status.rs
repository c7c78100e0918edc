//! What `status` prints.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Kept, SIPID, claim, eventually, kill, sipid, sleeper};

/// The exit status, the answer without its identity, and the identity.
fn status(file: &Path) -> (i32, Value, Value) {
    let output = sipid(&["status", "--pid-file", file.to_str().unwrap(), "-o", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    assert!(output.stderr.is_empty(), "{:?}", output.stderr);
    manual::schema::assert_fits(env!("CARGO_MANIFEST_DIR"), "status", &text);
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    let identity = answer.as_object_mut().unwrap().remove("identity").unwrap();
    (output.status.code().unwrap(), answer, identity)
}

fn answer(pid: Option<u32>, running: bool, locked: bool) -> Value {
    serde_json::json!({"pid": pid, "running": running, "locked": locked})
}

fn is_alive_with_identity(file: &Path, pid: u32) -> bool {
    let (code, said, identity) = status(file);
    assert_eq!((code, said), (0, answer(Some(pid), true, false)));
    !identity.is_null()
}

#[test]
fn in_json_it_says_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    assert_eq!(status(&file), (1, answer(None, false, false), Value::Null));
    fs::write(&file, " \n").unwrap();
    assert_eq!(status(&file), (1, answer(None, false, false), Value::Null));

    let mut process = sleeper();
    let pid = process.0.id();
    assert_eq!(claim(&process.pid(), &file), 0);
    let (_, _, identity) = status(&file);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(19)
        .unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let namespace = namespace
        .to_str()
        .unwrap()
        .trim_matches(|c: char| !c.is_ascii_digit());
    assert_eq!(identity["start"].to_string(), start);
    assert_eq!(identity["boot"], boot.trim());
    assert_eq!(identity["pidNamespace"].to_string(), namespace);
    assert!(identity.as_object().unwrap().contains_key("pidfdInode"));
    assert!(is_alive_with_identity(&file, pid));

    // Another program writes the file. An older kernel notices that only in its next tick.
    eventually("the identity counts no longer", || {
        fs::write(&file, process.pid()).unwrap();
        !is_alive_with_identity(&file, pid)
    });
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    assert_eq!(
        status(&file),
        (1, answer(Some(pid), false, false), Value::Null)
    );
}

#[test]
fn it_sees_the_lock_of_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut command = Command::new(SIPID);
    command.args(["claim", "--pid-file"]).arg(&file);
    let mut holder = Kept(command.args(["--", "sleep", "1000"]).spawn().unwrap());
    let pid = holder.0.id();
    eventually("it has claimed", || {
        dir.path().join(".x.pid.sipid").exists()
    });
    let (code, said, identity) = status(&file);
    assert_eq!((code, said), (0, answer(Some(pid), true, true)));
    assert!(identity.is_object());
    let output = sipid(&["status", "--pid-file", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        format!("process {pid} ({file:?}) is running, identity known, lock held\n")
    );
    assert!(kill(&file, &[]).status.success());
    assert!(!holder.is_alive());
}

#[test]
fn what_is_no_pidfile_and_no_output_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    fs::write(&file, "-1").unwrap();
    let output = sipid(&["status", "--pid-file", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(22));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        format!("sipid: {file:?} does not contain a valid PID: \"-1\"\n")
    );
    let unknown = sipid(&["status", "--pid-file", "x", "-o", "yaml"]);
    assert_eq!(unknown.status.code(), Some(64));
    fs::write(&file, "").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(SIPID);
    command.args(["status", "--pid-file"]).arg(&file);
    let closed = command.stdout(writer).stderr(Stdio::null()).status();
    assert_eq!(closed.unwrap().code(), Some(32));
}
