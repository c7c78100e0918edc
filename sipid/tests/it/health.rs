//! Good and bad servers of all kinds.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    server::{answering, hanging, local, request, serve, wait},
    support::{Kept, SIPID, claim, sleeper, within},
};

const SLACK: Duration = Duration::from_secs(5);

fn unhealthy(url: &str, reason: &str) {
    let started = Instant::now();
    let output = wait(
        url,
        &["--timeout", "1500ms", "--polling-frequency", "300ms"],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(
        text.contains("was not healthy after") && text.contains(reason),
        "{text}"
    );
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(1400) && took < Duration::from_millis(1500) + SLACK,
        "{took:?}"
    );
}

#[test]
fn refused_then_busy_then_healthy_over_one_connection() {
    let listener = local();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/health");
    let mut command = Command::new(SIPID);
    command.args(["-vv", "wait-until-healthy", "--polling-frequency", "50ms"]);
    command.args(["--url", &url]).stderr(Stdio::piped());
    let mut waiting = Kept(command.spawn().unwrap());
    let said = BufReader::new(waiting.0.stderr.take().unwrap()).lines();
    let mut said = said.map(Result::unwrap);
    assert!(said.any(|line| line.contains("Connection refused")));
    let served = Arc::new(AtomicUsize::new(0));
    let connections = served.clone();
    serve(TcpListener::bind(address).unwrap(), move |mut stream, _| {
        served.fetch_add(1, Ordering::Relaxed);
        for number in 0.. {
            if !request(&mut stream) {
                return;
            }
            let status = if number < 3 { "503 Busy" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    assert!(said.any(|line| line.contains("status 503")));
    assert!(said.any(|line| line.contains("is healthy after")));
    assert!(waiting.0.wait().unwrap().success());
    assert_eq!(
        connections.load(Ordering::Relaxed),
        1,
        "the connection is used again"
    );
}

// Holds sipid-8.
#[test]
fn servers_that_misbehave_cannot_stretch_the_wait() {
    let (hang, _come) = hanging();
    let slow = serve(local(), |mut stream, _| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
            let _ = stream.write_all(&[*byte]);
            thread::sleep(Duration::from_secs(1));
        }
    });
    let redirects = answering("302 Found\r\nLocation: /again");
    let closing = serve(local(), |stream, _| drop(stream));
    thread::scope(|scope| {
        scope.spawn(|| unhealthy(&format!("http://{hang}"), "no answer in time"));
        scope.spawn(|| unhealthy(&format!("http://{slow}"), "no answer in time"));
        scope.spawn(|| unhealthy(&format!("http://{redirects}"), "redirect"));
        scope.spawn(|| unhealthy(&format!("http://{closing}"), ""));
    });
}

#[test]
fn memory_and_descriptors_stay_flat() {
    let endless = serve(local(), |mut stream, _| {
        request(&mut stream);
        let _ = write!(stream, "HTTP/1.1 503 Busy\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let busy = serve(local(), move |mut stream, _| {
        if request(&mut stream) {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = write!(
                stream,
                "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
        }
    });
    let start = |address: &str, frequency: &str| {
        let mut command = Command::new(SIPID);
        command.args(["wait-until-healthy", "--timeout", "1h"]);
        command.args(["--polling-frequency", frequency]);
        command.args(["--url", &format!("http://{address}")]);
        Kept(command.stderr(Stdio::null()).spawn().unwrap())
    };
    let (mut reader, mut poller) = (start(&endless, "50ms"), start(&busy, "100us"));
    within(Duration::from_secs(600), "10,000 polls", || {
        polls.load(Ordering::Relaxed) > 10_000
    });
    for process in [&reader, &poller] {
        let about = format!("/proc/{}", process.pid());
        let files = fs::read_dir(format!("{about}/fd")).unwrap().count();
        assert!(files < 20, "{files} descriptors");
        let status = fs::read_to_string(format!("{about}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().trim_end_matches(" kB");
        assert!(peak.parse::<u64>().unwrap() < 64 * 1024, "{peak} kB");
    }
    assert!(reader.is_alive() && poller.is_alive());
}

#[test]
fn unix_sockets_tcp_and_ipv6() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            request(&mut stream);
            let _ = write!(stream, "HTTP/1.1 204 Fine\r\n\r\n");
        }
    });
    let expect = [
        "--unix-socket",
        path.to_str().unwrap(),
        "--expect-status",
        "200-299",
    ];
    assert!(wait("http://any/health", &expect).status.success());
    let listener = local();
    assert!(
        wait(&format!("tcp://{}", listener.local_addr().unwrap()), &[])
            .status
            .success()
    );
    let six = serve(TcpListener::bind("[::1]:0").unwrap(), |mut stream, _| {
        request(&mut stream);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    assert!(wait(&format!("http://{six}"), &[]).status.success());
}

#[test]
fn bad_urls_are_errors_at_once() {
    for bad in [
        "",
        "nowhere",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:0",
        "tcp://host",
        "http://a b",
    ] {
        let output = wait(bad, &[]);
        assert_eq!(output.status.code(), Some(22), "{bad:?} {output:?}");
    }
}

// Holds sipid-12.
#[test]
fn the_end_of_the_watched_process_ends_the_wait() {
    let (hang, come) = hanging();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut process = sleeper();
    assert_eq!(claim(&process.pid(), &file), 0);
    let watched = file.clone();
    let waiting = thread::spawn(move || {
        wait(
            &format!("http://{hang}"),
            &[
                "--timeout",
                "90s",
                "--polling-frequency",
                "80s",
                "--pid-file",
                watched.to_str().unwrap(),
            ],
        )
    });
    come.recv().unwrap();
    let started = Instant::now();
    process.0.kill().unwrap();
    assert_eq!(waiting.join().unwrap().status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A try without an answer is given up for the next one. The first try is made at once.
// Holds sipid-8.
#[test]
fn each_try_has_its_own_deadline() {
    let address = serve(local(), |mut stream, number| {
        while request(&mut stream) {
            if number > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let options = ["--timeout", "2m", "--polling-frequency", "1s"];
    let output = wait(&format!("http://{address}"), &options);
    assert!(output.status.success(), "{output:?}");

    let started = Instant::now();
    let options = ["--timeout", "3m", "--polling-frequency", "2m"];
    let output = wait(&format!("http://{}", answering("200 OK")), &options);
    assert!(output.status.success() && started.elapsed() < Duration::from_secs(110));
}

#[test]
fn headers_are_sent_and_statuses_chosen() {
    let address = serve(local(), |mut stream, _| {
        let mut head = String::new();
        let mut lines = BufReader::new(&stream);
        while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|n| n > 0) {}
        let known = head.to_lowercase().contains("\r\nx-key: a: b\r\n");
        let status = if known { "302 Found" } else { "401 Who" };
        let _ =
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    let url = format!("http://{address}/");
    let quick = ["--timeout", "2s", "--expect-status", "300-399"];
    let refused = wait(&url, &quick);
    assert_eq!(refused.status.code(), Some(110));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(
        said,
        format!("sipid: {url} was not healthy after 1 attempt: status 401\n")
    );
    let with_key = [&quick[..], &["--header", "X-Key: a: b"]].concat();
    assert!(wait(&url, &with_key).status.success());
    for bad in [
        ["--header", "no-colon"],
        ["--expect-status", "20x"],
        ["--timeout", "5x"],
    ] {
        assert_eq!(wait(&url, &bad).status.code(), Some(64), "{bad:?}");
    }
}
