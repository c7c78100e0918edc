//! Requests that are delayed, lost or refused, and what a waiting contender does about them.

use std::{
    thread,
    time::{Duration, Instant},
};

use apiserver::{Fault, Method, Proxy};
use nix::sys::signal::Signal;
use testkit::{eventually, process::Kept};

use crate::support::{Place, cmlock};

fn creations(proxy: &Proxy) -> usize {
    let seen = proxy.seen();
    seen.iter()
        .filter(|seen| seen.method == Method::POST)
        .count()
}

fn behind(place: &Place, proxy: &Proxy) -> std::process::Command {
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let mut command = cmlock(&kubeconfig);
    command.env("POD_NAME", "a");
    command
}

/// A lock without an expiry would stay as long as its Pod.
// Holds cmlock-1.
#[test]
#[ignore = "no cluster"]
fn a_creation_that_lands_after_its_client_gave_up_makes_no_lock() {
    const LATE: Duration = Duration::from_secs(12);
    let place = Place::with_pods(&["a", "b"]);
    let proxy = place.proxy();
    proxy.next(1, |method, _| *method == Method::POST, Fault::Delay(LATE));
    let mut run = Kept::spawn(behind(&place, &proxy).args(["run", "x", "--", "true"]));
    eventually("the creation is under way", || creations(&proxy) > 0);
    let sent = Instant::now();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.status(), 143);
    assert!(sent.elapsed() < LATE, "it has waited for the answer");
    // By then the late creation has failed, or has created an object that nobody holds.
    thread::sleep((LATE + Duration::from_secs(1)).saturating_sub(sent.elapsed()));
    let next = place.run("b", &["run", "x", "--no-wait", "--", "true"]);
    assert_eq!(next.0, 0, "{next:?}");
    assert!(!place.exists("x"));
}

/// For example, an admission webhook is down. A refused write has had no effect, and is not retried
/// endlessly.
// Holds cmlock-9.
#[test]
#[ignore = "no cluster"]
fn writes_that_fail_while_reads_work_end_no_later_than_the_wait() {
    const REASON: &str = "failed calling webhook \"validate.example.com\": connection refused";
    let place = Place::with_pods(&["a"]);
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"Internal error occurred: {REASON}"}}"#
    );
    for (options, status, least) in [
        (&["--wait", "3s"][..], 124, 3),
        (&["--no-wait"][..], 125, 0),
    ] {
        let proxy = place.proxy();
        let refused = Fault::Answer(500, None, body.clone());
        proxy.next(usize::MAX, |method, _| *method == Method::POST, refused);
        let begun = Instant::now();
        let mut run = behind(&place, &proxy);
        run.args(["run", "x"]).args(options).args(["--", "true"]);
        let (code, _, stderr) = Kept::spawn(run.stderr(std::process::Stdio::piped())).finish();
        assert_eq!(code, status, "{stderr}");
        assert!(stderr.contains("failed calling webhook"), "{stderr}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(least), "{options:?}: {took:?}");
        let tried = creations(&proxy);
        assert!((1..=12).contains(&tried), "{options:?}: {tried} creations");
        // The failure is reported once, and again at the end.
        assert!(stderr.lines().count() <= 3, "{stderr}");
    }
}
