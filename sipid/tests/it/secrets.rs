//! Secrets are sent only where they belong, and are shown nowhere. What servers send cannot move
//! the cursor.

use std::{
    io::Write,
    process::{Command, Output},
};

use crate::{
    server::{head, local, recording, serve, wait},
    support::SIPID,
};

const QUICK: [&str; 4] = ["--timeout", "1s", "--polling-frequency", "1s"];

/// Runs the tool with everything logged.
fn traced(args: &[&str]) -> Output {
    let mut command = Command::new(SIPID);
    command
        .env("SIPID_LOG_FILTER", "trace")
        .env("RUST_LOG", "trace");
    for name in ["http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
        .arg("wait-until-healthy")
        .args(args)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

// Holds sipid-11.
#[test]
fn headers_and_password_go_to_their_own_scheme_host_and_port_only() {
    let (elsewhere, heads) = recording("200 OK");
    let own_host = format!("http://127.0.0.1:{}/", port(&elsewhere));
    let other_host = format!("http://localhost:{}/", port(&elsewhere));
    for to in [own_host, other_host] {
        let (first, first_heads) = recording(format!("302 Found\r\nLocation: {to}"));
        let url = format!("http://me:secret@{first}/");
        let output = wait(&url, &["--header", "X-Token: secret"]);
        assert!(output.status.success(), "{output:?}");
        // "me:secret"
        let first_head = first_heads.recv().unwrap();
        assert!(first_head.contains("X-Token: secret\r\n"), "{first_head}");
        assert!(
            first_head.contains("Authorization: Basic bWU6c2VjcmV0\r\n"),
            "{first_head}"
        );
        let head = heads.recv().unwrap();
        assert!(
            !head.contains("secret") && !head.contains("bWU6"),
            "{to}: {head}"
        );
    }
}

// Holds sipid-11.
#[test]
fn headers_and_password_stay_with_their_origin() {
    let address = serve(local(), |mut stream, _| {
        loop {
            let head = head(&mut stream);
            let knows = head.contains("X-Token: secret") && head.contains("Basic bWU6c2VjcmV0");
            let answer = match () {
                () if head.is_empty() => return,
                () if head.starts_with("GET /first ") => "302 Found\r\nLocation: /second",
                () if knows => "200 OK",
                () => "401 Who",
            };
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let url = format!("http://me:secret@{address}/first");
    let output = wait(&url, &["--timeout", "30s", "--header", "X-Token: secret"]);
    assert!(output.status.success(), "{output:?}");
}

// Holds sipid-11.
#[test]
fn a_password_is_shown_nowhere() {
    let (address, _heads) = recording("503 Busy");
    let failing = [
        format!("http://me:secret@{address}/"),
        format!("http://me:secret@127.0.0.1:{}/", port(&address)),
        "http://me:secret@name.invalid/".to_owned(),
        "https://me:secret@127.0.0.1:1/".to_owned(),
        "tcp://me:secret@127.0.0.1:1".to_owned(),
        // None of these can be requested.
        "http://me:secret@host:0/".to_owned(),
        "http://me:se/secret@host/".to_owned(),
        "htp://me:secret@host/".to_owned(),
        "me:secret@host".to_owned(),
        "http://me:secret@/".to_owned(),
        "http://me:secret@ho st/".to_owned(),
    ];
    for url in failing {
        let url = ["--url", &url];
        let output = traced(&[&url[..], &QUICK].concat());
        assert!(
            matches!(output.status.code(), Some(22 | 110)),
            "{url:?}: {output:?}"
        );
        let said = said(&output);
        assert!(!said.contains("secret") && !said.contains("bWU6"), "{said}");
        assert!(said.contains("***"), "it is named: {said}");
    }
    // The option is forgotten.
    for words in [
        &["http://me:secret@h/"][..],
        &["http://me:secret@h/", "--", "true"],
    ] {
        let output = traced(&[words, &QUICK].concat());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(!said.contains("secret") && said.contains("***@h"), "{said}");
    }
    let redirecting = recording("302 Found\r\nLocation: http://me:secret@127.0.0.1:1/").0;
    let url = format!("http://{redirecting}/");
    let output = traced(&[&["--url", &url][..], &QUICK].concat());
    assert!(!said(&output).contains("secret"), "{}", said(&output));
}

// Holds sipid-11.
#[test]
fn a_header_is_shown_nowhere() {
    let (address, _heads) = recording("503 Busy");
    let url = format!("http://{address}/");
    let cases = [
        ("X-Token: secret", 110),
        ("secret", 64),
        ("Bearer secret", 64),
        ("X Token: secret", 22),
        (": secret", 22),
        ("X-Token: secret\r\nX: y", 22),
        ("X-Token: secret\u{7f}", 22),
    ];
    for (header, status) in cases {
        let args = ["--url", &url, "--header", header];
        let output = traced(&[&args[..], &QUICK].concat());
        assert_eq!(output.status.code(), Some(status), "{header:?}: {output:?}");
        assert!(!said(&output).contains("secret"), "{}", said(&output));
    }
}

// Holds sipid-13.
#[test]
fn what_a_server_or_a_command_says_moves_no_cursor() {
    let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2028}\u{8}";
    let answers = [
        format!("{evil}\r\n\r\n"),
        format!("HTTP/1.1 503 {evil}\r\n{evil}: {evil}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/{evil}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{evil}\r\n"),
    ];
    for answer in answers {
        let server = serve(local(), move |mut stream, _| {
            head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        });
        let url = format!("http://{server}/");
        let args = ["--url", &url, "--expect-body", "ok"];
        check_moves_nothing(&traced(&[&args[..], &QUICK].concat()));
    }
    let command = format!("printf '%s' '{evil}'; printf '%s' '{evil}' >&2; exit 3");
    let args = ["--", "sh", "-c", &command];
    check_moves_nothing(&traced(&[&QUICK, &args[..]].concat()));
}

/// The output must contain no control characters but line ends.
#[track_caller]
fn check_moves_nothing(output: &Output) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(110), "{said}");
    let moves = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}".contains(c);
    assert!(!said.contains(moves), "{said:?}");
}
