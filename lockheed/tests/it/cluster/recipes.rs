//! The recipes of docs/recipes.md, unchanged but for their paths. Each manifest is applied, and its
//! command runs as the manifest's service account with only the manifest's permissions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use testkit::{
    eventually,
    process::{Kept, outcome, write_program},
};

use super::holder;
use crate::support::LOCKHEED;
use apiserver::Namespace;

const RECIPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes");

/// Work that must not overlap, and reports if it does. It continues when the file `go` exists.
const WORK: &str = "#!/bin/sh
mkdir section || echo overlap >>log
echo begun >>log
until [ -e go ]; do sleep 0.05; done
rmdir section
echo ended >>log
";

/// A recipe's work directory, with its programs.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new(programs: &[(&str, &str)]) -> Self {
        let place = Self {
            root: tempfile::tempdir().unwrap(),
        };
        std::os::unix::fs::symlink(LOCKHEED, place.path("lockheed")).unwrap();
        for (name, text) in programs {
            write_program(&place.path(name), text);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Sets up a command to find this directory's programs.
    fn here(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{path}", self.root.path().display()))
            .env_remove("LOCKHEED_STORE")
            .current_dir(self.root.path());
        command
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

fn apply(namespace: &Namespace, recipe: &str) {
    let path = format!("{RECIPES}/{recipe}");
    namespace.kubectl(&["apply", "-f", &path], None);
}

#[test]
#[ignore = "no cluster"]
fn the_backup_never_overlaps_itself() {
    let namespace = Namespace::new();
    namespace.restrict();
    apply(&namespace, "backup-cronjob.yaml");
    let template = &namespace.get("cronjobs", "backup")["spec"]["jobTemplate"]["spec"]["template"];
    let place = Place::new(&[("backup.sh", WORK)]);
    let backup = |pod: &str| place.here(namespace.container(template, pod, "node-a", "backup"));

    let mut first = Kept::spawn(&mut backup("first"));
    eventually("it backs up", || place.log() == ["begun"]);
    // Applying it again leaves the lock unchanged.
    apply(&namespace, "backup-cronjob.yaml");
    let (status, _, said) = outcome(&mut backup("second"));
    assert_eq!(status, 0, "left out, which is no failure: {said}");
    assert!(said.contains("is held by"), "{said}");
    place.go();
    assert_eq!(first.status(), 0);
    assert_eq!(outcome(&mut backup("third")).0, 0);
    assert_eq!(place.log(), ["begun", "ended", "begun", "ended"]);
    write_program(&place.path("backup.sh"), "#!/bin/sh\nexit 3\n");
    assert_ne!(outcome(&mut backup("fourth")).0, 0, "a failure stays one");

    // When a Pod is deleted, only its first process gets TERM: the lock is released.
    for file in ["go", "log"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    write_program(&place.path("backup.sh"), WORK);
    let mut deleted = Kept::spawn(&mut backup("deleted"));
    eventually("it backs up", || place.log() == ["begun"]);
    deleted.signal(nix::sys::signal::Signal::SIGTERM);
    assert_ne!(deleted.status(), 0);
    fs::remove_dir(place.path("section")).unwrap();
    place.go();
    let (status, _, said) = outcome(&mut backup("next"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(place.log(), ["begun", "begun", "ended"], "{said}");
}

#[test]
#[ignore = "no cluster"]
fn nodes_are_updated_one_at_a_time() {
    let namespace = Namespace::new();
    namespace.restrict();
    apply(&namespace, "node-update-daemonset.yaml");
    let template = &namespace.get("daemonsets", "node-update")["spec"]["template"];
    let place = Place::new(&[("update-node.sh", WORK)]);
    let nodes = ["node-a", "node-b", "node-c"];
    let updates = nodes.map(|node| {
        let pod = format!("update-{node}");
        let mut update = place.here(namespace.container(template, &pod, node, "update"));
        Kept::spawn(&mut update)
    });
    let held_by = |node: &str| {
        let object = namespace.get("configmaps", "lockheed-node-update");
        object["metadata"]["annotations"]["lockheed/holders"]
            .as_str()
            .is_some_and(|it| it.contains(node))
    };
    eventually("one is at it", || place.log() == ["begun"]);
    assert_eq!(nodes.into_iter().filter(|node| held_by(node)).count(), 1);
    place.go();
    for mut update in updates {
        assert_eq!(update.status(), 0);
    }
    assert_eq!(place.log(), ["begun", "ended"].repeat(3));
}

/// A stand-in for terraform. Like the real one it stops on INT; a TERM would end its plugins in the
/// middle of their work.
const TERRAFORM: &str = "#!/bin/sh
trap 'echo INT >>log; exit 1' INT
trap 'echo TERM >>log' TERM
echo \"$2\" >>log
case $2 in apply) until [ -e go ]; do sleep 0.05; done; echo applied >>log ;; esac
";

#[test]
#[ignore = "no cluster"]
fn terraform_applies_alone_and_is_interrupted_gently() {
    let namespace = Namespace::new();
    let user = holder(&namespace);
    let place = Place::new(&[("terraform", TERRAFORM)]);
    let start = || {
        let script = Path::new(RECIPES).join("terraform-apply.sh");
        let mut script = place.here(Command::new(script));
        script.arg("environments/Prod").env("KUBECONFIG", &user);
        Kept::spawn(testkit::process::interruptible(&mut script))
    };
    let mut first = start();
    eventually("it applies", || place.log().contains(&"apply".to_owned()));
    first.signal(nix::sys::signal::Signal::SIGTERM);
    assert_ne!(first.status(), 0);
    assert_eq!(place.log(), ["init", "apply", "INT"]);
    fs::remove_file(place.path("log")).unwrap();

    let both = [start(), start()];
    place.go();
    for mut run in both {
        assert_eq!(run.status(), 0);
    }
    let log = place.log().into_iter().filter(|it| it != "init");
    assert_eq!(log.collect::<Vec<_>>(), ["apply", "applied"].repeat(2));
}

/// A machine with the units of the nightly report.
struct Machine<'a> {
    place: &'a Place,
    name: &'static str,
    service: String,
}

impl<'a> Machine<'a> {
    fn new(place: &'a Place, name: &'static str, kubeconfig: &Path) -> Self {
        let root = place.path(name);
        fs::create_dir(&root).unwrap();
        let changes = [
            ("/etc/report/kubeconfig", kubeconfig.to_owned()),
            ("/run/report", root.clone()),
            ("/usr/bin/lockheed", PathBuf::from(LOCKHEED)),
            ("/usr/local/bin/report", place.path("report")),
        ];
        let mut service = fs::read_to_string(format!("{RECIPES}/systemd/report.service")).unwrap();
        for (from, to) in changes {
            service = service.replace(from, to.to_str().unwrap());
        }
        fs::write(root.join("report.service"), &service).unwrap();
        let timer = format!("{RECIPES}/systemd/report.timer");
        fs::copy(timer, root.join("report.timer")).unwrap();
        Self {
            place,
            name,
            service,
        }
    }

    /// systemd turns a command line with `$$` and single quotes into the one that the shell runs.
    fn run(&self, name: &str, result: &str) -> i32 {
        let line = |name: &str| {
            let found = self
                .service
                .lines()
                .find_map(|line| line.strip_prefix(name));
            found.unwrap().to_owned()
        };
        let mut command = self.place.here(Command::new("sh"));
        let (variable, value) = line("Environment=")
            .split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .unwrap();
        command
            .args(["-c", &line(name).replace("$$", "$")])
            .env(variable, value)
            .env("SERVICE_RESULT", result);
        outcome(&mut command).0
    }

    /// One run of the unit: whether it has done the work, systemd.service(5).
    fn elapse(&self) -> bool {
        let result = match self.run("ExecCondition=", "") {
            0 if self.run("ExecStart=", "") == 0 => "success",
            0 => "exit-code",
            condition => {
                assert_eq!(condition, 16, "{} has the turn or not", self.name);
                "exec-condition"
            }
        };
        assert_eq!(self.run("ExecStopPost=", result), 0);
        result == "success"
    }
}

#[test]
#[ignore = "no cluster"]
fn the_report_is_made_on_one_of_two_machines() {
    let namespace = Namespace::new();
    let user = holder(&namespace);
    let place = Place::new(&[("report", WORK)]);
    let machines = ["a", "b"].map(|name| Machine::new(&place, name, &user));
    place.go();
    let elapse = |machine: &Machine<'_>| machine.elapse();
    let done: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| elapse(machine)))
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.collect()
    });
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    assert!(!machines.iter().any(elapse), "later tries of the night");
    assert_eq!(place.log(), ["begun", "ended"]);

    // The next night it fails on one machine, and the other one does it.
    let mut over = place.here(Command::new(LOCKHEED));
    over.args(["break", "report-turn", "--yes"])
        .env("KUBECONFIG", &user);
    assert_eq!(outcome(&mut over).0, 0);
    write_program(&place.path("report"), "#!/bin/sh\nexit 1\n");
    assert!(!machines[0].elapse());
    write_program(&place.path("report"), WORK);
    assert!(machines[1].elapse());

    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("systemd-analyze is not here: the units are not verified");
        return;
    }
    for unit in ["report.service", "report.timer"] {
        let unit = place.path("a").join(unit);
        let mut verify = Command::new("systemd-analyze");
        let (status, printed, said) = outcome(verify.arg("verify").arg(unit));
        assert_eq!((status, said.as_str()), (0, ""), "{printed}");
    }
}
