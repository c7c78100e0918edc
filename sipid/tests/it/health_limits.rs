//! Waits with few resources: threads, descriptors, memory.

use std::process::{Command, Output};

use nix::libc;
use testkit::process::words_of;

use crate::{
    server::{answering, hanging, local},
    support::SIPID,
};

/// A wait that fails has a short timeout. A wait that succeeds may take as long as it needs.
fn limited(limit: &str, args: &[&str]) -> Output {
    limited_for("1500ms", limit, args)
}

fn limited_for(timeout: &str, limit: &str, args: &[&str]) -> Output {
    let wait = format!("wait-until-healthy --timeout {timeout} --polling-frequency 1s");
    let script = format!("{limit}; exec \"$0\" {wait} \"$@\"");
    Command::new("bash")
        .args(["-c", &script, SIPID])
        .args(args)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// No processor has an address space with room for a stack of this size, but both C libraries ask
/// for it.
const NO_THREADS: &str = "export RUST_MIN_STACK=1152921504606846976";

#[test]
fn without_a_thread_an_address_and_localhost_are_asked_and_a_name_is_an_error() {
    let server = answering("200 OK");
    let port = server.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let output = limited_for(
            "1m",
            NO_THREADS,
            &["--url", &format!("http://{host}:{port}/")],
        );
        assert!(output.status.success(), "{host}: {output:?}");
    }
    let output = limited(NO_THREADS, &["--url", "http://name.invalid/"]);
    assert!(matches!(output.status.code(), Some(11 | 12)), "{output:?}");
    assert!(
        said(&output).contains("cannot start a thread for the name lookup"),
        "{output:?}"
    );
    let url = format!("http://{server}/");
    let output = limited(NO_THREADS, &["--url", &url, "--url", &url]);
    assert!(matches!(output.status.code(), Some(11 | 12)), "{output:?}");
    assert!(
        said(&output).contains("cannot start a thread"),
        "{output:?}"
    );
}

#[test]
fn eight_descriptors_are_enough_and_ten_for_a_command() {
    let server = answering("200 OK");
    let port = server.rsplit(':').next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    std::fs::write(&file, std::process::id().to_string()).unwrap();
    let watched = ["--pid-file", file.to_str().unwrap()];
    for url in [
        format!("http://{server}/"),
        format!("http://localhost:{port}/"),
        format!("tcp://{server}"),
    ] {
        let output = limited_for(
            "1m",
            "ulimit -n 8",
            &[&["--url", &url][..], &watched].concat(),
        );
        assert!(output.status.success(), "{url}: {output:?}");
    }
    // musl's posix_spawn(3) has a pipe of its own, so it needs two more descriptors than glibc's.
    let output = limited_for(
        "1m",
        "ulimit -n 10",
        &[&watched[..], &["--", "true"]].concat(),
    );
    assert!(output.status.success(), "{output:?}");
}

/// Only one descriptor is left, and the loader of a dynamic program needs it, too.
// Holds sipid-10.
#[test]
fn without_a_descriptor_the_errno_and_a_sentence_say_so() {
    let output = limited("ulimit -n 4", &["--", "true"]);
    assert_eq!(output.status.code(), Some(24), "{output:?}");
    assert!(
        said(&output).contains(&format!("cannot run \"true\": {}", words_of(libc::EMFILE))),
        "{output:?}"
    );
    let urls = [hanging().0, hanging().0].map(|address| format!("http://{address}/"));
    let output = limited("ulimit -n 4", &["--url", &urls[0], "--url", &urls[1]]);
    assert!(matches!(output.status.code(), Some(24 | 110)), "{output:?}");
    assert!(
        said(&output).contains(&format!("cannot open a socket: {}", words_of(libc::EMFILE))),
        "{output:?}"
    );
}

/// A shortage of any resource must not look like a bug in the program.
#[test]
fn low_limits_are_never_a_panic() {
    let closed = local().local_addr().unwrap();
    let server = answering("200 OK");
    let urls = [
        format!("http://{server}/"),
        format!("https://{closed}/"),
        "http://name.invalid/".to_owned(),
    ];
    let limits = [
        "ulimit -n 4",
        "ulimit -n 5",
        "ulimit -n 6",
        "ulimit -n 7",
        "ulimit -f 0",
        "ulimit -u 1",
    ];
    for limit in limits {
        for url in &urls {
            let output = limited(limit, &["--url", url, "--url", url]);
            let said = said(&output);
            assert!(
                !said.contains("bug:") && output.status.code().is_some_and(|code| code != 70),
                "{limit}: {output:?}"
            );
        }
    }
}
