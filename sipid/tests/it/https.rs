//! Certificates, good and bad.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{
    server::{answering, wait},
    support::Kept,
};

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
    let (server, address) = start(dir, file, "127.0.0.1:0", "-accept");
    (server, format!("https://{address}/"))
}

/// Where it accepts connections is known when it says so.
fn start(dir: &Path, file: &str, place: &str, option: &str) -> (Kept, String) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-www", option, place]);
    command.args(["-cert", &format!("{file}.pem")]);
    command.args(["-key", &format!("{file}.key")]);
    command.current_dir(dir).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Kept(command.spawn().unwrap());
    let said = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let mut said = said.map_while(Result::ok);
    let accepts = said.find_map(|line| line.strip_prefix("ACCEPT").map(str::to_owned));
    // It must not meet a closed pipe when it says more.
    std::thread::spawn(move || said.for_each(drop));
    (server, accepts.unwrap().trim().to_owned())
}

fn authority(dir: &Path) -> String {
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 30",
    );
    dir.join("ca.pem").to_str().unwrap().to_owned()
}

#[test]
fn https_trusts_only_what_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ca = &authority(dir);
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
    let insecure = wait(&url, &["--insecure"]);
    let warned = String::from_utf8(insecure.stderr).unwrap();
    assert!(
        insecure.status.success() && warned.contains("any certificate is trusted"),
        "{warned}"
    );
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

#[test]
fn https_over_a_unix_socket_and_after_a_redirect() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ca = &authority(dir);
    let (_server, url) = https(dir, "good", "IP:127.0.0.1,DNS:name.invalid", "-days 30");
    let plain = answering(format!("301 Moved\r\nLocation: {url}"));
    let redirected = wait(&format!("http://{plain}"), &["--ca-file", ca]);
    assert!(redirected.status.success(), "{redirected:?}");
    let (_on_socket, _) = start(dir, "good", "socket", "-unix");
    let socket = dir.join("socket");
    let options = ["--ca-file", ca, "--unix-socket", socket.to_str().unwrap()];
    let answered = wait("https://name.invalid/", &options);
    assert!(answered.status.success(), "{answered:?}");
}
