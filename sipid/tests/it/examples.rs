//! The shipped examples, unchanged but for their paths and the server's address.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use testkit::process::write_program;

use crate::{
    server::answering,
    support::{Kept, SIPID, eventually, status_of},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A directory with the programs that the examples call. It is the first one on their PATH.
struct Place(tempfile::TempDir);

impl Place {
    /// The server is a shell that becomes a sleep. chpst does nothing, because its user does not
    /// exist here.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path("packages/example/bin")).unwrap();
        fs::create_dir_all(place.path("packages/sipid/bin")).unwrap();
        for path in ["sipid", "packages/sipid/bin/sipid"] {
            std::os::unix::fs::symlink(SIPID, place.path(path)).unwrap();
        }
        place.script("chpst", "#!/bin/sh\nshift 2; exec \"$@\"\n");
        let server = "#!/bin/sh\nexec sleep 1000\n";
        place.script("packages/example/bin/example-server", server);
        place.script("example-server", server);
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn script(&self, name: &str, text: &str) {
        write_program(Path::new(&self.path(name)), text);
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Child {
        let path = format!("{}:{}", self.path(""), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path);
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> i32 {
        let status = self.start(program, arguments).wait().unwrap();
        status.code().unwrap()
    }
}

fn example(name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap();
    for (from, to) in changes {
        text = text.replace(from, to);
    }
    text
}

#[test]
fn bosh_jobs_start_once_are_healthy_and_stop() {
    let place = Place::new();
    let server = answering("200 OK");
    let root = place.path("");
    let changes = [("/var/vcap/", &*root), ("127.0.0.1:8080", &server)];
    let spec = example("bosh/spec", &[]);
    for name in ["start", "post-start", "stop"] {
        assert!(spec.contains(&format!("\n  {name}: bin/{name}\n")));
        place.script(name, &example(&format!("bosh/{name}"), &changes));
    }
    let run = |name: &str| place.run(&place.path(name), &[]);
    let monit = example("bosh/monit", &changes);
    let word = |before: &str| {
        let rest = monit.split(before).nth(1).unwrap();
        rest.split_whitespace()
            .next()
            .unwrap()
            .trim_matches('"')
            .to_owned()
    };
    let file = word("with pidfile");
    assert!(word("start program").ends_with("/jobs/example/bin/start"));
    assert!(word("stop program").ends_with("/jobs/example/bin/stop"));

    assert_eq!(run("stop"), 0, "nothing to stop is fine");
    let mut starts: Vec<Kept> = (0..10)
        .map(|_| Kept(place.start(&place.path("start"), &[])))
        .collect();
    eventually("all but one have given up", || {
        starts.retain_mut(Kept::is_alive);
        starts.len() == 1
    });
    let winner = &mut starts[0];
    assert_eq!(fs::read_to_string(&file).unwrap(), winner.pid());
    assert_eq!(run("post-start"), 0);
    assert_eq!(run("stop"), 0);
    assert!(!winner.is_alive() && !Path::new(&file).exists());
    let short = example("bosh/post-start", &changes).replace("--timeout 2m", "--timeout 1s");
    place.script("post-start", &short);
    assert_eq!(run("post-start"), 110, "no process came to be waited for");
}

#[test]
fn the_systemd_unit_starts_once_is_healthy_and_stops() {
    let place = Place::new();
    let (root, server) = (place.path("run"), answering("200 OK"));
    let changes = [
        ("/run/example", &*root),
        ("/usr/bin/sipid", SIPID),
        ("127.0.0.1:8080", &server),
    ];
    let unit = example("systemd/example.service", &changes);
    let value = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().to_owned()
    };
    // systemd turns a command line with `$$` and single quotes into the one that the shell runs.
    let run = |name: &str| place.run("sh", &["-c", &value(name).replace("$$", "$")]);
    let file = value("PIDFile=");
    let is_running = || status_of(&["status", "--pid-file", &file]) == 0;
    assert_eq!(run("ExecStart="), 0);
    assert!(is_running(), "the pidfile is there when the start is over");
    assert_eq!(run("ExecStartPost="), 0);
    assert_eq!(run("ExecStart="), 17, "it runs");
    assert_eq!(run("ExecStop="), 0);
    assert!(!is_running() && !Path::new(&file).exists());
    fs::write(place.path("example.service"), &unit).unwrap();
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_ok()
    {
        let path = place.path("example.service");
        let verified = Command::new("systemd-analyze")
            .args(["verify", &path])
            .output()
            .unwrap();
        assert!(
            verified.status.success() && verified.stderr.is_empty(),
            "{verified:?}"
        );
    }
}
