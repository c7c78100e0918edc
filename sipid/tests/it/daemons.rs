//! Real daemons with their own pidfiles, from Debian's packages. The tests need root, to run the
//! daemons as their usual users.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use testkit::postgres::{Postgres, free_port};

use crate::support::{Kept, SIPID, eventually, kill, sipid, sleeper, status_of};

/// A directory that every user may enter.
fn open_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), mode).unwrap();
    dir
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn status(file: &Path) -> i32 {
    status_of(&["status", "--pid-file", file.to_str().unwrap()])
}

fn signal(file: &Path, name: &str) {
    run(Command::new(SIPID)
        .args(["signal", "--pid-file"])
        .arg(file)
        .arg(name));
}

fn wait_until_healthy(url: &str, file: &Path) {
    let mut wait = Command::new(SIPID);
    wait.args([
        "wait-until-healthy",
        "--timeout",
        "2m",
        "--polling-frequency",
        "100ms",
    ]);
    run(wait.args(["--url", url, "--pid-file"]).arg(file));
}

fn is_kept_out(file: &Path, more: &[&str]) {
    let other = sleeper();
    let pid = other.pid();
    let args = ["claim", "--pid", &pid, "--pid-file", file.to_str().unwrap()];
    assert_eq!(status_of(&[&args, more].concat()), 17);
}

/// A daemon that is killed by its pidfile when the test ends.
struct Ended<'a>(&'a Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        kill(self.0, &["--retry", "KILL"]);
    }
}

#[test]
#[ignore = "needs root and postgresql"]
fn postgresql_is_claimed_waited_for_reloaded_and_stopped() {
    let postgres = Postgres::new();
    let (data, log) = (postgres.data(), postgres.directory().join("log"));
    // Root claims, in a directory of root's, for a process that becomes user postgres.
    let claimed = postgres.directory().join("run/postgres.pid");
    let port = postgres.port().to_string();
    let mut server = Command::new(SIPID);
    server.args(["claim", "--pid-file"]).arg(&claimed).arg("--");
    let command = postgres.server();
    server.arg(command.get_program()).args(command.get_args());
    let mut server = Kept(
        server
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );

    let own = data.join("postmaster.pid");
    eventually("it has written its pidfile", || {
        fs::read_to_string(&own).is_ok_and(|text| text.contains(&port))
    });
    wait_until_healthy(&format!("tcp://127.0.0.1:{port}"), &own);
    assert_eq!(fs::read_to_string(&claimed).unwrap(), server.pid());
    assert!(
        fs::read_to_string(&own)
            .unwrap()
            .starts_with(&format!("{}\n", server.pid()))
    );
    for file in [&own, &claimed] {
        assert_eq!(status(file), 0, "{file:?}");
        is_kept_out(file, &[]);
    }
    let answered = run(postgres.psql().args(["-Atc", "SELECT 1"]));
    assert_eq!(answered.stdout, b"1\n");

    let said = |words: &str| fs::read_to_string(&log).unwrap().contains(words);
    signal(&own, "HUP");
    eventually("it is reloaded", || said("received SIGHUP"));
    // INT is a fast shutdown, after which nothing must be recovered.
    let stopped = kill(
        &own,
        &["--user", "postgres", "--retry", "INT/2m/QUIT/10/KILL"],
    );
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(!server.is_alive() && !own.exists());
    assert!(said("database system is shut down"));
    assert_eq!(status(&claimed), 1);
    assert!(kill(&claimed, &[]).status.success());
    assert!(!claimed.exists());

    // After a crash, the file may name a PID that belongs to another process by now.
    let mut other = sleeper();
    fs::write(
        &own,
        format!("{}\n{}\n1700000000\n{port}\n", other.pid(), data.display()),
    )
    .unwrap();
    assert_eq!(
        status_of(&[
            "status",
            "--exec",
            postgres.program("postgres").to_str().unwrap(),
            "--pid-file",
            own.to_str().unwrap()
        ]),
        1
    );
    assert!(kill(&own, &["--user", "postgres"]).status.success());
    assert!(other.is_alive());
}

#[test]
#[ignore = "needs root and nginx"]
fn nginx_is_claimed_waited_for_reloaded_and_stopped() {
    let dir = open_directory();
    let path = |name: &str| dir.path().join(name);
    let (config, own, port) = (path("nginx.conf"), path("nginx.pid"), free_port());
    let root = dir.path().display();
    fs::write(
        &config,
        format!(
            "pid {root}/nginx.pid; error_log {root}/error.log; worker_processes 1; events {{}}
            http {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 fine; }} }} }}"
        ),
    )
    .unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let nginx = || {
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(path("error.log"));
        command.stderr(Stdio::inherit());
        command
    };
    // nginx goes into the background, and only its own pidfile exists.
    run(&mut nginx());
    let _ended = Ended(&own);
    wait_until_healthy(&url, &own);
    assert_eq!(status(&own), 0);
    is_kept_out(&own, &["--exec", "/usr/sbin/nginx"]);
    let master = fs::read_to_string(&own).unwrap().trim().to_owned();
    let workers = || fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    let before = workers();
    signal(&own, "HUP");
    eventually("it has other workers", || {
        let now = workers();
        !now.is_empty()
            && now != before
            && !before
                .split(' ')
                .any(|old| !old.is_empty() && now.contains(old))
    });
    wait_until_healthy(&url, &own);
    let wrong = sipid(&[
        "status",
        "--name",
        "apache2",
        "--pid-file",
        own.to_str().unwrap(),
    ]);
    assert_eq!(wrong.status.code(), Some(1));
    let stopped = kill(
        &own,
        &["--name", "nginx", "--retry", "QUIT/1m/TERM/10/KILL"],
    );
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(!own.exists() && std::net::TcpStream::connect(("127.0.0.1", port)).is_err());

    // nginx runs in the foreground, and sipid claims for it. nginx writes its own pidfile, too.
    let claimed = path("claimed.pid");
    let mut server = Command::new(SIPID);
    server
        .args(["claim", "--pid-file"])
        .arg(&claimed)
        .arg("--")
        .arg("nginx");
    server
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(path("error.log"))
        .args(["-g", "daemon off;"]);
    let mut server = Kept(server.spawn().unwrap());
    wait_until_claimed_and_healthy(&url, &claimed);
    is_kept_out(&claimed, &[]);
    assert!(
        kill(&claimed, &["--retry", "QUIT/1m/KILL"])
            .status
            .success()
    );
    assert!(!server.is_alive() && !claimed.exists());
}

fn wait_until_claimed_and_healthy(url: &str, file: &Path) {
    eventually("it is claimed", || status(file) == 0);
    wait_until_healthy(url, file);
}
