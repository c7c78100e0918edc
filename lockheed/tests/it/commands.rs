//! Every command with its status, standard output and standard error.

use std::fs;

use serde_json::Value;

use testkit::{eventually, process::outcome};

use crate::support::{Place, content, lockheed, unique};

#[test]
fn run_gives_the_command_the_token_and_passes_its_status_on() {
    let place = Place::new();
    let (code, stdout, stderr) = place.run(&[
        "run",
        "deploy",
        "--",
        "sh",
        "-c",
        "echo $LOCKHEED_TOKEN; exit 7",
    ]);
    assert_eq!((code, stderr.as_str()), (7, ""));
    let first: u64 = stdout.trim().parse().unwrap();
    let second: u64 = place
        .expect(
            &["run", "deploy", "--", "sh", "-c", "echo $LOCKHEED_TOKEN"],
            0,
        )
        .trim()
        .parse()
        .unwrap();
    assert!(second > first);
    assert!(place.leases("deploy").is_empty());
    assert_eq!(place.run(&["run", "deploy", "--", "/nonexistent"]).0, 127);
    assert_eq!(place.run(&["run", "deploy", "--", "/etc/passwd"]).0, 126);
    assert_eq!(
        place
            .run(&["run", "deploy", "--", "sh", "-c", "kill -9 $$"])
            .0,
        137
    );
    assert!(place.leases("deploy").is_empty());
}

// Holds lockheed-5.
#[test]
fn tokens_rise_across_deletion() {
    let place = Place::new();
    let mut last = 0;
    for _ in 0..3 {
        let token: u64 = place
            .expect(&["acquire", "x", "--id", "a"], 0)
            .trim()
            .parse()
            .unwrap();
        assert!(token > last);
        last = token;
        place.expect(&["release", "x", "--id", "a"], 0);
        place.expect(&["delete", "x"], 0);
        assert!(!place.file("x").exists());
    }
}

#[test]
fn a_held_lock_is_16_and_a_wait_that_ran_out_110_or_124() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--duration", "0"], 0);
    let (code, stdout, stderr) = place.run(&["acquire", "x", "--id", "b", "--no-wait"]);
    assert_eq!((code, stdout.as_str()), (16, ""));
    assert_eq!(stderr, "lockheed: lock x is held by \"a\" indefinitely\n");
    let (code, _, stderr) = place.run(&["acquire", "x", "--id", "b", "--wait", "50ms"]);
    assert_eq!(code, 110);
    assert_eq!(
        stderr,
        "lockheed: could not acquire lock x within 50ms: it is held by \"a\" indefinitely\n"
    );
    assert_eq!(
        place.run(&["run", "x", "--wait", "50ms", "--", "true"]).0,
        124
    );
    assert_eq!(place.run(&["run", "x", "--no-wait", "--", "true"]).0, 124);
    place.expect(&["release", "x", "--id", "b"], 0);
    assert_eq!(place.leases("x"), ["a"]);
}

#[test]
fn acquire_again_extends_and_prints_the_same_token() {
    let place = Place::new();
    let token = place.expect(&["acquire", "x", "--id", "a", "--duration", "1h"], 0);
    let expires = |place: &Place| place.json("x")["leases"]["a"]["expires"].clone();
    let first = expires(&place);
    assert_eq!(
        place.expect(&["acquire", "x", "--id", "a", "--duration", "2h"], 0),
        token
    );
    assert_ne!(expires(&place), first);
    place.expect(&["renew", "x", "--id", "a"], 0);
    assert_eq!(
        place.expect(
            &["acquire", "x", "--id", "a", "--duration", "1h", "--no-wait"],
            0
        ),
        token
    );
    assert_eq!(
        place.json("x")["leases"]["a"]["token"].to_string(),
        token.trim()
    );
}

#[test]
fn a_lease_that_is_not_there_or_over_cannot_be_renewed() {
    let place = Place::new();
    let (code, _, stderr) = place.run(&["renew", "x", "--id", "a"]);
    assert_eq!(
        (code, stderr.as_str()),
        (2, "lockheed: lock x does not exist\n")
    );
    place.expect(&["acquire", "x", "--id", "a", "--duration", "1s"], 0);
    eventually("the lease is over", || {
        place.run(&["inspect", "x"]).1.contains("over")
    });
    let (code, _, stderr) = place.run(&["renew", "x", "--id", "a"]);
    assert_eq!(
        (code, stderr.as_str()),
        (116, "lockheed: lock x was lost: it expired\n")
    );
}

// Holds lockheed-6.
#[test]
fn release_is_idempotent_and_ends_only_ones_own_lease() {
    let place = Place::new();
    place.expect(&["release", "x", "--id", "a"], 0);
    assert!(!place.file("x").exists());
    place.expect(&["acquire", "x", "--id", "a"], 0);
    for id in ["b", "a", "a"] {
        place.expect(&["release", "x", "--id", id], 0);
    }
    assert!(place.leases("x").is_empty());
}

#[test]
fn tags_are_added_and_reset() {
    let place = Place::new();
    let tags = |place: &Place| place.json("x")["tags"].clone();
    place.expect(
        &[
            "run", "x", "--tag", "a", "--tag", "b", "--tag", "a", "--", "true",
        ],
        0,
    );
    assert_eq!(tags(&place), serde_json::json!(["a", "b"]));
    place.expect(&["run", "x", "--tag", "c", "--", "true"], 0);
    assert_eq!(tags(&place), serde_json::json!(["a", "b", "c"]));
    place.expect(&["run", "x", "--reset-tags", "--tag", "d", "--", "true"], 0);
    assert_eq!(tags(&place), serde_json::json!(["d"]));
    place.expect(&["run", "x", "--reset-tags", "--", "true"], 0);
    assert_eq!(tags(&place), Value::Null);
}

#[test]
fn force_takes_over_only_when_its_condition_holds() {
    let place = Place::new();
    place.expect(&["acquire", "x", "--id", "a", "--tag", "abandoned"], 0);
    let force = |condition| {
        [
            "acquire",
            "x",
            "--id",
            "b",
            "--no-wait",
            "--force",
            condition,
        ]
    };
    assert_eq!(place.run(&force("tags contains other")).0, 16);
    place.expect(
        &force("tags contains abandoned and acquired equals true"),
        0,
    );
    assert_eq!(place.leases("x"), ["b"]);
}

#[test]
fn a_holder_that_is_robbed_ends_its_command_and_says_so() {
    let place = Place::new();
    let (started, seconds) = (place.path("started"), unique());
    let script = format!("echo >{}; exec sleep {seconds}", started.display());
    for rob in [
        &["break", "x", "--yes"][..],
        &[
            "acquire",
            "x",
            "--id",
            "b",
            "--force",
            "acquired equals true",
        ],
    ] {
        let holder = place.start(&["run", "x", "--id", "a", "--", "sh", "-c", &script]);
        content(&started);
        place.expect(rob, 0);
        let (code, _, stderr) = holder.finish();
        assert_eq!(code, 122, "{stderr}");
        assert!(
            stderr.contains("lock x: lost: somebody else took it, or ended it"),
            "{stderr}"
        );
        fs::remove_file(&started).unwrap();
        place.expect(&["release", "x", "--id", "b"], 0);
    }
    let holder = place.start(&["run", "x", "--id", "a", "--", "sh", "-c", &script]);
    content(&started);
    fs::remove_file(place.file("x")).unwrap();
    let (code, _, stderr) = holder.finish();
    assert_eq!(code, 122, "{stderr}");
    assert!(stderr.contains("lock x: lost: it was deleted"), "{stderr}");
    assert!(!place.file("x").exists());
}

#[test]
fn break_says_whose_lease_it_ends() {
    let place = Place::new();
    assert_eq!(place.run(&["break", "x", "--yes"]).0, 2);
    let acquire = ["acquire", "x", "--id", "a", "--tag", "t", "--duration", "0"];
    place.expect(&acquire, 0);
    let (code, _, stderr) = place.run(&["break", "x"]);
    assert_eq!(
        (code, stderr.as_str()),
        (
            64,
            "lockheed: lock x is held by \"a\": to end its lease, repeat with --yes\n"
        )
    );
    assert_eq!(
        place
            .run(&["break", "x", "--yes", "--if", "tags contains other"])
            .0,
        1
    );
    assert_eq!(place.leases("x"), ["a"]);
    let stdout = place.expect(&["break", "x", "--yes", "--if", "tags contains t"], 0);
    assert_eq!(
        stdout,
        "ended the lease of \"a\", which would have had no end\n"
    );
    assert_eq!(place.expect(&["break", "x", "--yes"], 0), "");
}

#[test]
fn delete_leaves_held_locks_alone() {
    let place = Place::new();
    assert_eq!(place.run(&["delete", "x"]).0, 2);
    place.expect(&["acquire", "x", "--id", "a"], 0);
    assert_eq!(place.run(&["delete", "x"]).0, 16);
    place.expect(&["release", "x", "--id", "a"], 0);
    assert_eq!(place.run(&["delete", "x", "--if", "tags contains t"]).0, 1);
    place.expect(&["delete", "x", "--if", "acquired equals false"], 0);
    assert!(!place.file("x").exists());
}

#[test]
fn the_store_is_given_before_or_after_the_command_or_by_the_environment() {
    let place = Place::new();
    let store = place.store();
    for arguments in [["--store", &store, "list"], ["list", "--store", &store]] {
        assert_eq!(outcome(&mut lockheed(&arguments)).0, 0);
    }
    place.expect(&["list"], 0);
    let (code, _, stderr) = outcome(&mut lockheed(&["--store", "file:/x", "list"]));
    assert_eq!(code, 64);
    assert!(stderr.contains("write kube, lease or dir:PATH"), "{stderr}");
}

#[test]
fn a_directory_is_made_by_who_acquires_and_by_nobody_else() {
    let place = Place::new();
    let store = format!("dir:{}", place.path("new/locks").display());
    assert_eq!(outcome(&mut lockheed(&["--store", &store, "list"])).0, 2);
    assert!(!place.path("new").exists());
    let (code, _, stderr) = outcome(&mut lockheed(&[
        "--store",
        "dir:/proc/none",
        "run",
        "x",
        "--",
        "true",
    ]));
    assert_eq!(code, 125, "{stderr}");
    assert_eq!(
        outcome(&mut lockheed(&[
            "--store", &store, "run", "x", "--", "true"
        ]))
        .0,
        0
    );
    assert_eq!(
        outcome(&mut lockheed(&["--store", &store, "list", "-o", "name"])).1,
        "x\n"
    );
}

#[test]
fn wrong_usage_is_64_and_a_bad_name_22() {
    let place = Place::new();
    let usage: &[&[&str]] = &[
        &["run", "x"],
        &["run", "x", "--duration", "-30s", "--", "true"],
        &[
            "run",
            "x",
            "--duration",
            "10s",
            "--grace",
            "10s",
            "--",
            "true",
        ],
        &[
            "run",
            "x",
            "--duration",
            "10s",
            "--renew-interval",
            "6s",
            "--",
            "true",
        ],
        &[
            "run",
            "x",
            "--duration",
            "0",
            "--renew-interval",
            "6s",
            "--",
            "true",
        ],
        &["acquire", "x", "--wait", "1s", "--no-wait"],
        &["list", "--where", "tags"],
        &["acquire", "x", "--force", "tags contains"],
    ];
    for arguments in usage {
        assert_eq!(place.run(arguments).0, 64, "{arguments:?}");
    }
    for name in ["X", "", "../x", "a_b"] {
        for (command, status) in [
            (&["run", name, "--", "true"][..], 125),
            (&["acquire", name], 22),
            (&["inspect", name], 22),
        ] {
            let (code, _, stderr) = place.run(command);
            assert_eq!(code, status, "{command:?}");
            assert!(stderr.contains("invalid lock name"), "{stderr}");
        }
    }
    let (_, _, stderr) = place.run(&["list", "--where", "tags contains x and"]);
    assert!(
        stderr.contains("at character 20: expected \"tags\", \"acquired\" or \"(\", found the end"),
        "{stderr}"
    );
    for line in ["acquire x --id=", "run x --id= -- true"] {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(place.run(&words).0, 64, "{line}");
    }
    assert_eq!(
        fs::read_dir(place.locks())
            .unwrap()
            .filter(|entry| !entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with('.'))
            .count(),
        0
    );
}

#[test]
fn help_says_what_the_statuses_mean() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let (code, stdout, _) = outcome(&mut lockheed(arguments));
        assert_eq!(code, 0);
        assert!(stdout.contains("Exit status:"), "{stdout}");
    }
}

#[test]
fn a_closed_standard_output_is_32_and_leaves_no_lease() {
    let place = Place::new();
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let mut acquire = place.lockheed(&["acquire", "x", "--id", "a"]);
    assert_eq!(outcome(acquire.stdout(writer)).0, 32);
    assert!(place.leases("x").is_empty());
}
