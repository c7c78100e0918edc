//! Servers of all kinds, good and bad.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Kept, claim, eventually, sipid, sleeper};

const SLACK: Duration = Duration::from_secs(5);

/// Serves each connection with the closure, and its number, in threads that end with the test binary.
fn serve(
    listener: TcpListener,
    answer: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) -> String {
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream, number));
        }
    });
    address.to_string()
}

fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Reads one request; false at the end.
fn request(stream: &mut impl Read) -> bool {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        all.push(byte[0]);
    }
    true
}

fn wait(url: &str, more: &[&str]) -> Output {
    let mut args = vec!["wait-until-healthy", "--url", url];
    args.extend(more);
    sipid(&args)
}

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
    let waiting =
        thread::spawn(move || wait(&url, &["--timeout", "60s", "--polling-frequency", "50ms"]));
    thread::sleep(Duration::from_millis(200));
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
    let output = waiting.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        connections.load(Ordering::Relaxed),
        1,
        "the connection is used again"
    );
}

#[test]
fn servers_that_misbehave_cannot_stretch_the_wait() {
    let hang = serve(local(), |stream, _| {
        thread::sleep(Duration::from_secs(100));
        drop(stream);
    });
    let slow = serve(local(), |mut stream, _| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
            let _ = stream.write_all(&[*byte]);
            thread::sleep(Duration::from_secs(1));
        }
    });
    let redirects = serve(local(), |mut stream, _| {
        while request(&mut stream) {
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
            );
        }
    });
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
    let start = |address: &str| {
        let mut command = Command::new(crate::support::SIPID);
        command.args([
            "wait-until-healthy",
            "--timeout",
            "5m",
            "--polling-frequency",
            "100us",
            "--url",
        ]);
        Kept(
            command
                .arg(format!("http://{address}"))
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    };
    let (mut reader, mut poller) = (start(&endless), start(&busy));
    eventually("10,000 polls", || polls.load(Ordering::Relaxed) > 10_000);
    let files = fs::read_dir(format!("/proc/{}/fd", poller.pid()))
        .unwrap()
        .count();
    assert!(files < 20, "{files} descriptors");
    let status = fs::read_to_string(format!("/proc/{}/status", reader.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} kB");
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

#[test]
fn the_end_of_the_watched_process_ends_the_wait() {
    let hang = serve(local(), |stream, _| {
        thread::sleep(Duration::from_secs(100));
        drop(stream);
    });
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
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    process.0.kill().unwrap();
    assert_eq!(waiting.join().unwrap().status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(30));
}

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args}: {output:?}");
}

/// A server with a certificate of our CA for this name, valid for so many days.
fn https(dir: &Path, file: &str, name: &str, days: &str) -> (Kept, String) {
    openssl(
        dir,
        &format!("req -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN=server"),
    );
    fs::write(
        dir.join(format!("{file}.ext")),
        format!("subjectAltName={name}\nbasicConstraints=CA:FALSE\n"),
    )
    .unwrap();
    openssl(
        dir,
        &format!(
            "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {file}.pem -extfile {file}.ext {days}"
        ),
    );
    let port = local().local_addr().unwrap().port();
    let mut command = Command::new("openssl");
    command
        .args([
            "s_server",
            "-www",
            "-quiet",
            "-accept",
            &port.to_string(),
            "-cert",
        ])
        .arg(format!("{file}.pem"));
    command
        .args(["-key", &format!("{file}.key")])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let server = Kept(command.stderr(Stdio::null()).spawn().unwrap());
    eventually("the server listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (server, format!("https://127.0.0.1:{port}/"))
}

#[test]
fn https_trusts_only_what_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 30",
    );
    let ca = dir.join("ca.pem");
    let ca = ca.to_str().unwrap();
    let short = [
        "--timeout",
        "2s",
        "--polling-frequency",
        "1s",
        "--ca-file",
        ca,
    ];
    let (_good, url) = https(dir, "good", "IP:127.0.0.1", "-days 30");
    assert!(wait(&url, &["--ca-file", ca]).status.success());
    assert!(wait(&url, &["--insecure"]).status.success());
    let refused = |output: Output, reason: &str| {
        let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(
            output.status.code() == Some(110) && text.contains(reason),
            "{reason}: {output:?}"
        );
    };
    refused(wait(&url, &short[..4]), "unknownissuer");
    let (_wrong, url) = https(dir, "wrong", "DNS:elsewhere", "-days 30");
    refused(wait(&url, &short), "not valid for");
    let (_old, url) = https(dir, "old", "IP:127.0.0.1", "-days -1");
    refused(wait(&url, &short), "expired");
    assert_eq!(
        wait(&url, &["--ca-file", "/nonexistent"]).status.code(),
        Some(2)
    );
}
