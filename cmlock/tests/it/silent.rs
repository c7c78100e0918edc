//! A server that accepts connections and never answers is not the same as a lock that somebody
//! holds.

use std::{net::TcpListener, process::Stdio};

use testkit::process::{Kept, outcome};

use crate::support::cmlock;

/// A listener from which nobody accepts, and a kubeconfig for it.
struct Silent {
    kubeconfig: tempfile::NamedTempFile,
    _listener: TcpListener,
}

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let config = serde_json::json!({
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        });
        std::fs::write(kubeconfig.path(), config.to_string()).unwrap();
        Self {
            kubeconfig,
            _listener: listener,
        }
    }

    fn cmlock(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = cmlock(self.kubeconfig.path());
        command.env("POD_NAME", "a").args(arguments);
        command
    }
}

// Holds cmlock-9.
#[test]
fn a_server_that_never_answers_is_not_a_wait_that_ran_out() {
    let server = Silent::new();
    // Each command gives up after 30 s. A script that skips its job on status 124 or 110 must not
    // skip it then.
    let cases = [
        (&["run", "x", "--wait", "10m", "--", "true"][..], 125),
        (&["run", "x", "--no-wait", "--", "true"], 125),
        (&["acquire", "x", "--wait", "10m"], 11),
    ];
    let started = cases.map(|(arguments, expected)| {
        let mut command = server.cmlock(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        (arguments, expected, Kept(child.unwrap()))
    });
    for (arguments, expected, child) in started {
        let (status, _, error) = child.finish();
        assert_eq!(status, expected, "{arguments:?}: {error}");
        assert!(error.contains("no answer within"), "{error}");
    }
}

// Holds cmlock-9.
#[test]
fn the_waits_own_end_is_124_and_110() {
    let server = Silent::new();
    for (arguments, expected) in [
        (&["run", "x", "--wait", "1s", "--", "true"][..], 124),
        (&["acquire", "x", "--wait", "1s"], 110),
    ] {
        let (status, _, error) = outcome(&mut server.cmlock(arguments));
        assert_eq!(status, expected, "{error}");
        assert!(
            error.contains("could not acquire lock x within 1s: "),
            "{error}"
        );
        assert!(error.contains("has not answered yet"), "{error}");
    }
}
