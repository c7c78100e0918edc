//! The recipe of docs/recipes.md that uses cmlock: the migration Job, unchanged.

use std::fs;

use apiserver::Namespace;
use testkit::{
    eventually,
    process::{Kept, outcome, write_program},
};

const RECIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/recipes/migration-job.yaml"
);

/// Reports an overlap, and continues when the file `go` exists.
const MIGRATE: &str = "#!/bin/sh
mkdir section || echo overlap >>log
echo begun >>log
until [ -e go ]; do sleep 0.05; done
rmdir section
echo ended >>log
";

#[test]
#[ignore = "no cluster"]
fn two_releases_migrate_one_after_the_other() {
    let namespace = Namespace::new();
    namespace.restrict();
    namespace.kubectl(&["apply", "-f", RECIPE], None);
    let template = &namespace.get("jobs", "migrate-1-4-0")["spec"]["template"];
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cmlock"), path("cmlock")).unwrap();
    write_program(&path("migrate.sh"), MIGRATE);
    let migrate = |pod: &str| {
        let mut command = namespace.container(template, pod, "node-a", "migrate");
        let programs = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{programs}", place.path().display()))
            .current_dir(place.path());
        command
    };
    let log = || fs::read_to_string(path("log")).unwrap_or_default();

    let mut first = Kept::spawn(&mut migrate("first"));
    eventually("it migrates", || log() == "begun\n");
    let mut second = Kept::spawn(&mut migrate("second"));
    eventually("the other release waits", || {
        let requests = namespace.requests();
        let pods = requests.iter().filter(|it| it.resource == "pods");
        pods.filter(|it| it.verb == "watch").count() > 0
    });
    fs::write(path("go"), "").unwrap();
    assert_eq!((first.status(), second.status()), (0, 0));
    assert_eq!(log(), "begun\nended\n".repeat(2));
    write_program(&path("migrate.sh"), "#!/bin/sh\nexit 3\n");
    assert_eq!(outcome(&mut migrate("third")).0, 3);
}
