//! A lease that is held across commands: its owner and its length.

use testkit::process::outcome;

use crate::support::{Place, lockheed};

#[test]
fn an_id_that_is_not_given_is_random_and_printed() {
    let place = Place::new();
    let id = place.expect(&["acquire", "x"], 0);
    let id = id.trim();
    assert_eq!(place.leases("x"), [id]);
    let (code, stdout, stderr) = place.run(&["acquire", "x", "--no-wait"]);
    assert_eq!((code, stdout.as_str()), (16, ""));
    assert!(
        stderr.contains(&format!("held by {id:?} until")),
        "{stderr}"
    );
    place.expect(&["renew", "x", "--id", id], 0);
    place.expect(&["release", "x", "--id", id], 0);
    assert!(place.leases("x").is_empty());
    // Commands whose lease would silently belong to nobody ask for an ID.
    for command in ["renew", "release"] {
        let (code, _, stderr) = place.run(&[command, "x"]);
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains("--id <ID>"), "{stderr}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&place.expect(&["acquire", "x", "-o", "json"], 0)).unwrap();
    assert_eq!(place.leases("x"), [json["id"].as_str().unwrap()]);
    assert!(json["token"].as_u64().unwrap() > 0 && json["name"] == "x");
    let yaml = place.expect(&["acquire", "z", "-o", "yaml", "--wait", "forever"], 0);
    let id = format!("id: {}\n", place.leases("z")[0]);
    assert!(yaml.contains(&id) && yaml.contains("name: z\n"), "{yaml}");
}

#[test]
fn the_lease_of_acquire_has_an_end_and_keeps_its_length() {
    let place = Place::new();
    let length = || place.json("x")["leases"]["a"]["durationMillis"].clone();
    let acquire = |more: &[&str]| {
        let arguments = [&["acquire", "x", "--id", "a"], more].concat();
        place.expect(&arguments, 0);
        length()
    };
    assert_eq!(acquire(&[]), 300_000);
    assert_eq!(acquire(&["--duration", "1h"]), 3_600_000);
    assert_eq!(acquire(&[]), 3_600_000);
    place.expect(&["renew", "x", "--id", "a"], 0);
    assert_eq!(length(), 3_600_000);
    place.expect(&["renew", "x", "--id", "a", "--duration", "2h"], 0);
    assert_eq!(length(), 7_200_000);
    assert_eq!(acquire(&["--duration", "0"]), serde_json::Value::Null);
    assert_eq!(acquire(&[]), serde_json::Value::Null);
    assert_eq!(
        place.json("x")["leases"]["a"]["expires"],
        "9999-12-31T23:59:59Z"
    );
    assert_eq!(
        place.run(&["renew", "x", "--id", "a", "--duration", "0"]).0,
        64
    );
}

#[test]
fn help_shows_all_defaults() {
    let place = Place::new();
    for (command, defaults) in [
        (
            "run",
            &[
                "[default: 30s]",
                "a third of the lease",
                "a quarter of the lease",
                "this host's name",
            ][..],
        ),
        (
            "acquire",
            &[
                "[default: 5m; a lease that",
                "[default: forever]",
                "a sixth of the lease",
                "a random part",
            ],
        ),
        (
            "renew",
            &["[default: as long as it was]", "a sixth of the lease"],
        ),
    ] {
        let help = place.expect(&[command, "--help"], 0);
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for default in defaults {
            assert!(help.contains(default), "{command}: {help}");
        }
    }
}

#[test]
fn a_directory_has_no_labels() {
    let place = Place::new();
    for arguments in [
        &["acquire", "x", "--label", "team=db"][..],
        &["run", "x", "--label", "team=db", "--", "true"],
    ] {
        let (code, _, stderr) = place.run(arguments);
        assert_eq!(code, 64, "{stderr}");
        assert!(
            stderr.contains("--label team is for --store kube"),
            "{stderr}"
        );
    }
    assert!(!place.file("x").exists());
}

/// Whoever names a cluster does not mean this machine. The environment may always name one.
#[test]
#[cfg(feature = "kube")]
fn a_directory_is_in_no_cluster() {
    let place = Place::new();
    let help = place.expect(&["run", "--help"], 0);
    let group = help.split_once("\nCluster:\n").unwrap().1;
    let group = group.split_once("\n\n").unwrap().0.lines();
    let words = group.filter_map(|line| line.split_whitespace().find(|word| word.len() > 3));
    let options: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
    assert!(options.len() >= 9, "{options:?}");
    for option in options.into_iter().chain(["--prefix"]) {
        let given = format!("{option}=x");
        for arguments in [
            &["run", "x", &given, "--", "true"][..],
            &[&given, "acquire", "x"],
            &["list", &given],
        ] {
            let (code, _, stderr) = place.run(arguments);
            let line = format!("lockheed: {option} is for --store kube");
            assert!(code == 64 && stderr.starts_with(&line), "{stderr}");
        }
    }
    assert!(!place.file("x").exists());
    let mut list = place.lockheed(&["list"]);
    assert_eq!(outcome(list.env("KUBECONFIG", "/none")).0, 0);
}

#[test]
fn a_lease_that_would_be_over_at_once_is_refused() {
    let place = Place::new();
    for command in ["acquire", "renew"] {
        let arguments = [command, "x", "--id", "a", "--duration", "999ms"];
        let (code, stdout, stderr) = place.run(&arguments);
        let said = "lockheed: a lease of 999ms is too short: use at least 1s\n";
        assert_eq!((code, &*stdout, &*stderr), (64, "", said), "{command}");
    }
}

#[test]
fn without_a_cluster_the_error_names_the_store_that_needs_none() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, status) in [
        (&["acquire", "x"][..], 2),
        (&["list"], 2),
        (&["run", "x", "--", "true"], 125),
    ] {
        let mut command = lockheed(arguments);
        command.env("HOME", home.path());
        for variable in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST"] {
            command.env_remove(variable);
        }
        let (code, _, stderr) = outcome(&mut command);
        assert_eq!(code, status, "{stderr}");
        let hint = "; for locks on this machine, use --store dir:PATH\n";
        assert!(
            stderr.starts_with("lockheed: no cluster to talk to"),
            "{stderr}"
        );
        assert!(stderr.ends_with(hint), "{stderr}");
    }
}
