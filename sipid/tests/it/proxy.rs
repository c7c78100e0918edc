//! What is requested through a proxy, and what never is.

use std::{
    io::Write,
    process::{Command, Output},
    sync::mpsc::{self, Receiver},
};

use crate::{
    server::{answering, head, local, serve},
    support::SIPID,
};

/// A proxy that answers for every host, with this status line and headers. It reports the host of
/// each request.
fn proxy(answer: &str) -> (String, Receiver<String>) {
    let (sender, asked) = mpsc::channel();
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
    let address = serve(local(), move |mut stream, _| {
        let connect = head(&mut stream);
        let host = connect.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        let _ = sender.send(host);
        while !head(&mut stream).is_empty() {
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (format!("http://{address}"), asked)
}

fn wait_with(variables: &[(&str, &str)], url: &str) -> Output {
    let mut command = Command::new(SIPID);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(variables.iter().copied());
    command.args(["wait-until-healthy", "--timeout", "10s"]);
    command.args(["--polling-frequency", "9s", "--url", url]);
    command.output().unwrap()
}

#[test]
fn a_loopback_url_is_asked_directly() {
    let (proxy, asked) = proxy("503 Wrong");
    let server = answering("200 OK");
    let port = server.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let output = wait_with(&[("all_proxy", &proxy)], &format!("http://{host}:{port}/"));
        assert!(output.status.success(), "{host}: {output:?}");
    }
    assert!(asked.try_recv().is_err(), "the proxy was asked");
}

#[test]
fn another_host_is_asked_through_the_proxy() {
    let (proxy, asked) = proxy("200 OK");
    let output = wait_with(&[("HTTP_PROXY", &proxy)], "http://name.invalid:8080/health");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(asked.recv().unwrap(), "name.invalid:8080");
}

#[test]
fn no_proxy_keeps_a_host_from_it() {
    let (proxy, asked) = proxy("200 OK");
    let variables = [("http_proxy", &*proxy), ("no_proxy", "10.0.0.0/8,invalid")];
    let output = wait_with(&variables, "http://name.invalid/");
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    assert!(asked.try_recv().is_err(), "the proxy was asked");
}

#[test]
fn a_redirect_is_followed_by_the_rules_of_where_it_leads() {
    let server = answering("200 OK");
    let (to_loopback, asked) = proxy(&format!("307 Moved\r\nLocation: http://{server}/"));
    let output = wait_with(&[("http_proxy", &to_loopback)], "http://name.invalid/");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["name.invalid:80"]);

    let away = answering("307 Moved\r\nLocation: http://name.invalid/");
    let (proxy, asked) = proxy("200 OK");
    let output = wait_with(&[("http_proxy", &proxy)], &format!("http://{away}/"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["name.invalid:80"]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_at_once() {
    let variables = [("http_proxy", "socks5://user:secret@host:1")];
    let output = wait_with(&variables, "http://name.invalid/");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(22), "{said}");
    assert!(said.contains("http_proxy names no proxy"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn the_password_of_a_proxy_is_sent_to_it_alone_and_shown_nowhere() {
    let (sender, heads) = mpsc::channel();
    let address = serve(local(), move |mut stream, _| {
        let connect = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        let asked = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let _ = sender.send((connect, asked));
    });
    let mut command = Command::new(SIPID);
    command
        .env("SIPID_LOG_FILTER", "trace")
        .env_remove("no_proxy")
        .env_remove("NO_PROXY");
    command.env("http_proxy", format!("http://me:secret@{address}"));
    command.args([
        "wait-until-healthy",
        "--timeout",
        "2s",
        "--polling-frequency",
        "5s",
    ]);
    let output = command
        .args(["--url", "http://name.invalid/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(110), "{output:?}");
    let (connect, asked) = heads.recv().unwrap();
    // "me:secret"
    assert!(
        connect.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
        "{connect}"
    );
    assert!(!asked.contains("bWU6"), "{asked}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("secret") && !said.contains("bWU6"), "{said}");
}
