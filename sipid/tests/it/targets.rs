//! Several targets, targets that are not URLs, and what counts as healthy.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::net::UnixListener,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    server::{answering, hanging, head, local, patiently, quickly, request, said, serve, wait},
    support::{SIPID, claim, eventually, sipid, sleeper},
};

fn closed_port() -> String {
    local().local_addr().unwrap().to_string()
}

// Holds sipid-10.
#[test]
fn all_targets_must_be_healthy_and_those_that_are_not_are_named() {
    let (good, bad) = (answering("200 OK"), answering("503 Busy"));
    let (good, bad) = (format!("http://{good}/"), format!("http://{bad}/"));
    let silent = format!("http://me:secret@{}/", hanging().0);
    assert!(
        patiently(&["--url", &good, "--url", &good])
            .status
            .success()
    );

    let output = quickly(&["--url", &good, "--url", &silent, "--url", &bad]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(110), "{said}");
    assert!(!said.contains(&good) && !said.contains("secret"), "{said}");
    let silent = silent.replace("me:secret", "***");
    let (first, second) = said.split_once("; ").unwrap();
    assert!(
        first.starts_with(&format!("sipid: {silent} was not healthy")),
        "{said}"
    );
    assert!(first.contains("no answer in time"), "{said}");
    assert!(
        second.starts_with(&format!("{bad} was not healthy")),
        "{said}"
    );
    assert!(second.ends_with("status 503\n"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A target that hangs takes no time from the others.
#[test]
fn targets_are_asked_at_the_same_time() {
    let (hang, _come) = hanging();
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let other = serve(local(), move |mut stream, _| {
        while request(&mut stream) {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let status = if number < 10 { "503 Busy" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let waiting = thread::spawn(move || {
        let (hang, other) = (format!("http://{hang}/"), format!("http://{other}/"));
        let options = ["--timeout", "30s", "--polling-frequency", "10s", "--url"];
        sipid(
            &[
                &["wait-until-healthy", "--url", &hang][..],
                &options,
                &[&other],
            ]
            .concat(),
        )
    });
    let output = waiting.join().unwrap();
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(polls.load(Ordering::Relaxed) >= 3, "{polls:?}");
}

#[test]
fn sockets_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let _listener = UnixListener::bind(path("socket")).unwrap();
    fs::write(path("file"), "").unwrap();
    let healthy = [
        format!("unix:{}", path("socket")),
        format!("unix://{}", path("socket")),
        format!("file:{}", path("file")),
        format!("file://{}", path("file")),
        format!("file:{}", dir.path().display()),
    ];
    for url in &healthy {
        let output = patiently(&["--url", url]);
        assert!(output.status.success(), "{url}: {output:?}");
    }
    let unhealthy = [
        (format!("unix:{}", path("file")), "refused"),
        (format!("unix:{}", path("missing")), "No such file"),
        (format!("file:{}", path("missing")), "No such file"),
        (format!("tcp://{}", closed_port()), "refused"),
    ];
    for (url, reason) in &unhealthy {
        let output = quickly(&["--url", url]);
        assert_eq!(output.status.code(), Some(110), "{url}: {output:?}");
        assert!(said(&output).contains(reason), "{output:?}");
    }
    for url in ["unix:", "file:", &format!("unix:/{}", "x".repeat(108))] {
        assert_eq!(quickly(&["--url", url]).status.code(), Some(22), "{url}");
    }
}

#[test]
fn a_file_that_comes_later_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let url = format!("file:{}", path.display());
    let waiting =
        thread::spawn(move || wait(&url, &["--timeout", "2m", "--polling-frequency", "50ms"]));
    fs::write(path, "").unwrap();
    assert!(waiting.join().unwrap().status.success());
}

#[test]
fn a_command_must_succeed() {
    assert!(patiently(&["--", "true"]).status.success());
    let output = quickly(&[
        "--",
        "sh",
        "-c",
        "echo first; echo 'why \u{1b}not' >&2; exit 3",
    ]);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(output.stdout.is_empty());
    let text = said(&output);
    assert!(
        text.contains("exits with status 3: why \\u{1b}not"),
        "{text}"
    );
    for (program, status) in [
        ("/nonexistent", 127),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
    ] {
        let started = Instant::now();
        let output = sipid(&["wait-until-healthy", "--timeout", "100s", "--", program]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(started.elapsed() < Duration::from_secs(90));
    }
}

#[test]
fn wrong_usage_says_what_would_be_right() {
    let wait = "sipid wait-until-healthy [OPTIONS] --url <URL>, or sipid wait-until-healthy [OPTIONS] -- <CMD>...";
    let wrong: &[(&[&str], &str)] = &[
        (
            &["wait-until-healthy"],
            &format!("missing --url <URL> or CMD: write {wait}"),
        ),
        (
            &["wait-until-healthy", "http://localhost:1"],
            "\"--\" is missing before the command to run: write sipid wait-until-healthy -- http://localhost:1, or give --url <URL>",
        ),
        (
            &["claim", "--pid-file", "x", "4711"],
            "\"--\" is missing before the command to run: write sipid claim ... -- 4711, or give --pid <PID>",
        ),
        (
            &[
                "wait-until-healthy",
                "--max-polling-frequency=1s",
                "--url=file:/",
            ],
            "--max-polling-frequency 1s is shorter than --polling-frequency 5s: give a longer one, or lower both",
        ),
    ];
    for (arguments, line) in wrong {
        let output = sipid(arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert_eq!(said(&output), format!("sipid: {line}\n"));
    }
}

/// The command finds the signals as we found them, except SIGCHLD, without which there would be no
/// status.
#[test]
fn a_command_finds_the_signals_as_they_were() {
    let ignored = "trap '' CHLD PIPE USR1; exec \"$0\" wait-until-healthy --timeout 9s \"$@\"";
    let report = "grep SigIgn /proc/self/status; exit 1";
    let run = |command: &str| {
        let args = ["-c", ignored, SIPID, "--", "sh", "-c", command];
        std::process::Command::new("bash")
            .args(args)
            .output()
            .unwrap()
    };
    assert!(run("exit 0").status.success());
    // Bit n-1 stands for signal n: USR1 is 10, PIPE is 13.
    let ignored_by_it = |output: &Output| {
        let text = said(output).trim().to_owned();
        let mask = u64::from_str_radix(&text[text.len() - 16..], 16).expect(&text);
        mask & (1 << 9 | 1 << 12)
    };
    assert_eq!(ignored_by_it(&run(report)), 1 << 9 | 1 << 12);
    assert_eq!(ignored_by_it(&quickly(&["--", "sh", "-c", report])), 0);
}

/// A command that hangs is ended with everything that it started, even if that writes without end.
// Holds sipid-8.
#[test]
fn a_command_that_hangs_is_ended_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tries");
    let script = "echo $$ >>\"$1\"; yes & sleep 1000";
    let output = quickly(&["--", "sh", "-c", script, "sh", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(
        said(&output).contains("no end of the command in time"),
        "{output:?}"
    );
    let tries = fs::read_to_string(file).unwrap();
    assert!(tries.lines().count() >= 1, "{tries}");
    for group in tries.lines() {
        eventually("the group is gone", || {
            let group = nix::unistd::Pid::from_raw(group.parse().unwrap());
            nix::sys::signal::killpg(group, None).is_err()
        });
    }
}

#[test]
fn the_time_between_tries_grows_up_to_its_limit() {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let busy = serve(local(), move |mut stream, _| {
        while request(&mut stream) {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = write!(stream, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let url = format!("http://{busy}/");
    let often = ["--timeout", "2s", "--polling-frequency", "10ms"];
    assert_eq!(wait(&url, &often).status.code(), Some(110));
    let tries = polls.swap(0, Ordering::Relaxed);
    assert!(tries > 10, "{tries}");
    let growing = [&often[..], &["--max-polling-frequency", "1s"]].concat();
    assert_eq!(wait(&url, &growing).status.code(), Some(110));
    // The tries come at 0, 10, 30, 70, 150, 310, 630 and 1270 ms.
    let tries = polls.load(Ordering::Relaxed);
    assert!((2..=8).contains(&tries), "{tries}");
}

/// While a daemon starts, its pidfile is missing, empty, or names an earlier process.
// Holds sipid-12.
#[test]
fn the_watched_process_may_come_later() {
    let server = answering("200 OK");
    let url = format!("http://{server}/");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run/x.pid");
    let path = file.to_str().unwrap();
    let options = ["--timeout", "2m", "--pid-file", path];
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    for content in [None, Some(String::new()), Some(dead.id().to_string())] {
        let process = sleeper();
        let (url, options) = (url.clone(), options.map(str::to_owned));
        if let Some(content) = &content {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
        }
        let waiting = thread::spawn(move || {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            wait(&url, &options)
        });
        // A pause, so that the old state is seen. The result is the same if it was not.
        thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished(), "{content:?}: {:?}", waiting.join());
        assert_eq!(claim(&process.pid(), &file), 0);
        let output = waiting.join().unwrap();
        assert!(output.status.success(), "{content:?}: {output:?}");
        fs::remove_file(&file).unwrap();
    }
    let output = quickly(&["--url", &url, "--pid-file", path]);
    assert_eq!(output.status.code(), Some(110), "it never came: {output:?}");
    let reason = format!("{path:?} named no running process");
    assert!(said(&output).contains(&reason), "{output:?}");
}

/// A daemon that is restarted leaves its place to its successor.
// Holds sipid-12.
#[test]
fn the_successor_of_the_watched_process_is_watched() {
    let (hang, come) = hanging();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let (mut first, mut second) = (sleeper(), sleeper());
    fs::write(&file, first.pid()).unwrap();
    let watched = file.to_str().unwrap().to_owned();
    let waiting = thread::spawn(move || {
        let options = [
            "--timeout",
            "90s",
            "--polling-frequency",
            "80s",
            "--pid-file",
            &watched,
        ];
        wait(&format!("http://{hang}"), &options)
    });
    come.recv().unwrap();
    fs::write(&file, second.pid()).unwrap();
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "{:?}", waiting.join());
    second.0.kill().unwrap();
    assert_eq!(waiting.join().unwrap().status.code(), Some(3));
}

#[test]
fn the_zone_of_an_address_is_understood() {
    let server = serve(TcpListener::bind("[::1]:0").unwrap(), |mut stream, _| {
        let head = head(&mut stream);
        let ok = head.to_lowercase().contains("\r\nhost: [::1]:");
        let status = if ok { "200 OK" } else { "400 Zone" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let port = server.rsplit(':').next().unwrap();
    for zone in ["%25lo", "%lo", "%251"] {
        let output = patiently(&["--url", &format!("http://[::1{zone}]:{port}/")]);
        assert!(output.status.success(), "{zone}: {output:?}");
    }
    let output = quickly(&["--url", &format!("http://[fe80::1%25nowhere]:{port}/")]);
    assert!(
        said(&output).contains("no network interface \"nowhere\""),
        "{output:?}"
    );
}

#[test]
fn localhost_is_loopback_whatever_the_resolver_says() {
    let server = answering("200 OK");
    let port = server.rsplit(':').next().unwrap();
    for host in ["localhost", "LOCALHOST", "a.localhost", "localhost."] {
        let output = patiently(&["--url", &format!("http://{host}:{port}/")]);
        assert!(output.status.success(), "{host}: {output:?}");
    }
    assert!(SIPID.ends_with("sipid"));
}
