//! Locks that are held while credentials change, and what credential plugins must not do.

use std::{
    fs,
    io::Write,
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};

use apiserver::{Front, Guarded, Method};
use lockheed::Timestamp;
use serde_json::{Value, json};
use testkit::{
    eventually,
    process::{Kept, is_alive, number_in, outcome},
};

use super::{holder, lockheed};

fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_unix(Duration::from_secs(since.as_secs())).to_string()
}

/// How many renewals were let through.
fn renewals(at: &Guarded) -> usize {
    let seen = at.proxy.seen();
    seen.iter()
        .filter(|seen| seen.method == Method::PUT)
        .count()
}

/// How long the lease is held with each further credential: no time, or ten minutes in all for a
/// long run with `ROTATION_SECONDS=120`.
fn pause() -> Duration {
    let seconds = std::env::var("ROTATION_SECONDS").map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// A lease is held until a file exists, while `rotate` is called five times. It is renewed at least
/// twice each time.
fn held_over_rotations(
    at: &Guarded,
    kubeconfig: &Path,
    renewals: impl Fn() -> usize,
    rotate: impl Fn(usize),
) {
    let over = at.path("over");
    let mut command = lockheed(kubeconfig);
    command
        .args(["run", "x", "--duration", "8s", "--", "sh", "-c"])
        .arg(format!(
            "echo $$ >{0}; while ! [ -e {0}.end ]; do sleep 0.1; done",
            over.display()
        ))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let holder = Kept::spawn(&mut command);
    let command = number_in(&over);
    for rotation in 1..=5 {
        rotate(rotation);
        let before = renewals();
        eventually("the lease is renewed", || {
            renewals() >= before + 2 || !is_alive(command)
        });
        std::thread::sleep(pause());
        assert!(
            is_alive(command),
            "rotation {rotation}: {:?}",
            holder.finish()
        );
    }
    fs::write(at.path("over.end"), "").unwrap();
    let (status, _, errors) = holder.finish();
    assert!(
        status == 0 && !errors.contains("lost"),
        "{status}: {errors}"
    );
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_while_a_token_file_is_rotated() {
    let at = Guarded::start();
    at.put("token", "0\n");
    at.proxy.require("0");
    let kubeconfig = at.kubeconfig(&json!({"tokenFile": at.path("token")}));
    held_over_rotations(
        &at,
        &kubeconfig,
        || renewals(&at),
        |rotation| {
            at.put("token", &format!("{rotation}\n"));
            at.proxy.require(&rotation.to_string());
        },
    );
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_while_a_plugins_tokens_are_refused_before_they_expire() {
    let at = Guarded::start();
    at.issue(&json!({"token": "0", "expirationTimestamp": in_seconds(3600)}));
    at.proxy.require("0");
    let kubeconfig = at.kubeconfig(&at.plugin("cat issued", &json!({})));
    held_over_rotations(
        &at,
        &kubeconfig,
        || renewals(&at),
        |rotation| {
            at.issue(
                &json!({"token": rotation.to_string(), "expirationTimestamp": in_seconds(3600)}),
            );
            at.proxy.require(&rotation.to_string());
        },
    );
    assert_eq!(at.runs(), 6);
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_while_a_plugins_tokens_expire() {
    let at = Guarded::start();
    at.proxy.require("0");
    let script = r#"echo "{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\",
        \"status\": {\"token\": \"0\", \"expirationTimestamp\": \"$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ)\"}}""#;
    let kubeconfig = at.kubeconfig(&at.plugin(script, &json!({})));
    held_over_rotations(
        &at,
        &kubeconfig,
        || renewals(&at),
        |_| {
            let before = at.runs();
            eventually("the plugin has run again", || at.runs() > before);
        },
    );
}

fn pem_of(kubeconfig: &Path) -> (String, String) {
    let config: Value = serde_json::from_str(&fs::read_to_string(kubeconfig).unwrap()).unwrap();
    let text =
        |name| fs::read_to_string(config["users"][0]["user"][name].as_str().unwrap()).unwrap();
    (text("client-certificate"), text("client-key"))
}

/// Two users take turns, and only one of them has any permissions.
fn take_turns(
    at: &Guarded,
    user: impl Fn(&Guarded) -> Value,
    issue: impl Fn(&Guarded, &str, &str),
) {
    let namespace = at.namespace();
    let first = holder(namespace);
    let second = namespace.user_with_role("second", "lockheed");
    let front = Front::before(namespace);
    let (certificate, key) = pem_of(&first);
    issue(at, &certificate, &key);
    let kubeconfig = at.kubeconfig_like(&front.kubeconfig(&first), &user(at));
    let updates = || {
        let requests = namespace.requests();
        let ours = |it: &&apiserver::audit::Request| it.verb == "update" && it.status == 200;
        requests.iter().filter(ours).count()
    };
    held_over_rotations(at, &kubeconfig, updates, |rotation| {
        let (certificate, key) = pem_of(if rotation % 2 == 1 { &second } else { &first });
        issue(at, &certificate, &key);
    });
    // One at the start, and one for each rotation.
    assert_eq!(front.accepted(), 6);
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_while_client_certificate_files_are_renewed() {
    let user =
        |at: &Guarded| json!({"client-certificate": at.path("crt"), "client-key": at.path("key")});
    take_turns(&Guarded::start(), user, |at, certificate, key| {
        at.put("crt", certificate);
        at.put("key", key);
    });
}

#[test]
#[ignore = "no cluster"]
fn a_lock_is_held_while_a_plugins_certificates_expire() {
    let user = |at: &Guarded| {
        let script = "sed \"s/EXPIRES/$(date -u -d '+3 seconds' +%Y-%m-%dT%H:%M:%SZ)/\" issued";
        at.plugin(script, &json!({}))
    };
    take_turns(&Guarded::start(), user, |at, certificate, key| {
        at.issue(&json!({"clientCertificateData": certificate, "clientKeyData": key, "expirationTimestamp": "EXPIRES"}));
        // The previous credential must have expired.
        let before = at.runs();
        if before > 0 {
            eventually("the plugin has run again", || at.runs() >= before + 2);
        }
    });
}

#[test]
#[ignore = "no cluster"]
fn a_plugin_does_not_eat_the_commands_input() {
    let at = Guarded::start();
    at.issue(&json!({"token": "0"}));
    at.proxy.require("0");
    let kubeconfig = at.kubeconfig(&at.plugin("cat >eaten; cat issued", &json!({})));
    let mut command = lockheed(&kubeconfig);
    command
        .args(["run", "x", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut cat = Kept::spawn(&mut command);
    let mut stdin = cat.0.stdin.take().unwrap();
    stdin.write_all(b"1\n2\n3\n4\n5\n").unwrap();
    drop(stdin);
    assert_eq!(
        cat.finish(),
        (0, "1\n2\n3\n4\n5\n".to_owned(), String::new())
    );
    assert_eq!(fs::read(at.path("eaten")).unwrap(), b"");
}

#[test]
#[ignore = "no cluster"]
fn a_plugin_that_hangs_does_not_lengthen_the_wait_and_does_not_outlive_it() {
    let at = Guarded::start();
    let kubeconfig = at.kubeconfig(&at.plugin("echo $$ >pid; exec sleep 1000", &json!({})));
    let mut command = lockheed(&kubeconfig);
    let begun = std::time::Instant::now();
    let (status, said, errors) =
        outcome(command.args(["run", "x", "--wait", "3s", "--", "echo", "ran"]));
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!((status, &*said), (124, ""), "{errors}");
    let pid = number_in(&at.path("pid"));
    eventually("the plugin is gone", || !is_alive(pid));
    assert_eq!(at.runs(), 1);
}

#[test]
#[ignore = "no cluster"]
fn a_plugin_that_fails_is_told_at_once_and_once() {
    let at = Guarded::start();
    let kubeconfig =
        at.kubeconfig(&at.plugin("echo 'no ticket' >&2; echo hunter4; exit 3", &json!({})));
    for (arguments, expected) in [
        (&["run", "x", "--", "echo", "ran"][..], 125),
        (&["acquire", "x"], 13),
        (&["list"], 13),
    ] {
        let before = at.runs();
        let (status, said, errors) = outcome(lockheed(&kubeconfig).args(arguments));
        assert_eq!((status, &*said), (expected, ""), "{errors}");
        let told = format!(
            "the credential plugin {:?} failed with exit status 3: no ticket\n",
            at.path("plugin")
        );
        assert!(
            errors.ends_with(&told) && errors.lines().count() == 1,
            "{errors}"
        );
        assert!(!errors.contains("hunter"), "{errors}");
        assert_eq!(at.runs(), before + 1);
    }
}
