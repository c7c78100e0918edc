//! Certificates, good and bad.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{
    server::{answering, local, serve, wait},
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
    started(command.current_dir(dir))
}

fn started(command: &mut Command) -> (Kept, String) {
    command.stdin(Stdio::null());
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

/// A certificate for itself, as people make it for localhost.
fn own_certificate(dir: &Path, file: &str, more: &str) -> (Kept, String, String) {
    let make = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost";
    openssl(
        dir,
        &format!("{make} -keyout {file}.key -out {file}.pem{more}"),
    );
    let (server, address) = start(dir, file, "127.0.0.1:0", "-accept");
    let port = address.rsplit(':').next().unwrap().to_owned();
    let path = dir.join(format!("{file}.pem"));
    (server, port, path.to_str().unwrap().to_owned())
}

const SHORT: [&str; 4] = ["--timeout", "1500ms", "--polling-frequency", "1s"];

#[test]
fn a_server_whose_own_certificate_is_in_the_ca_file_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let names = " -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let leaf = " -addext basicConstraints=critical,CA:FALSE";
    let cases = [
        ("ca", String::new()),
        ("names", names.to_owned()),
        ("leaf", leaf.to_owned()),
        ("both", format!("{names}{leaf}")),
    ];
    for (file, more) in cases {
        let (_server, port, ca) = own_certificate(dir, file, &more);
        let output = wait(&format!("https://localhost:{port}/"), &["--ca-file", &ca]);
        assert!(output.status.success(), "{file}: {output:?}");
    }
    // Issued by a CA that is not in the file.
    authority(dir);
    let (_server, url) = https(dir, "issued", "IP:127.0.0.1", "-days 30");
    let issued = dir.join("issued.pem");
    let output = wait(&url, &["--ca-file", issued.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_to_do_about_a_certificate_is_said_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_own, port, own) = own_certificate(dir, "own", "");
    let (_other, _, other) = own_certificate(dir, "other", "");
    let (_names, names_port, names) =
        own_certificate(dir, "names", " -addext subjectAltName=DNS:elsewhere");
    authority(dir);
    let issue = "x509 -req -in issued.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out issued.pem";
    openssl(
        dir,
        "req -newkey rsa:2048 -nodes -keyout issued.key -out issued.csr -subj /CN=localhost",
    );
    fs::write(dir.join("v3"), "basicConstraints=CA:FALSE\n").unwrap();
    openssl(dir, &format!("{issue} -extfile v3"));
    let (_issued, issued) = start(dir, "issued", "127.0.0.1:0", "-accept");
    let issued_port = issued.rsplit(':').next().unwrap();
    let ca = dir.join("ca.pem");
    let cases = [
        (
            &*port,
            &*other,
            "put that very certificate into the CA file",
        ),
        (&*names_port, &*names, "elsewhere"),
        (issued_port, ca.to_str().unwrap(), "subjectAltName"),
        (
            issued_port,
            &*own,
            "put the certificate of the CA that issued the server's",
        ),
    ];
    for (port, ca, advice) in cases {
        let url = format!("https://localhost:{port}/");
        let output = wait(&url, &[&SHORT[..], &["--ca-file", ca]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(110), "{said}");
        assert!(
            said.contains(advice) && said.lines().count() == 1,
            "{advice}: {said}"
        );
    }
    let plain = serve(local(), |mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    let said = wait(&format!("https://{plain}/"), &SHORT).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("does not seem to speak TLS"), "{said}");
}

/// It may be trusted as it is, but not for longer than it says.
#[test]
fn an_expired_certificate_is_not_trusted_even_if_it_is_in_the_ca_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    openssl(
        dir,
        "req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=localhost",
    );
    fs::write(dir.join("v3"), "basicConstraints=CA:TRUE\n").unwrap();
    openssl(
        dir,
        "x509 -req -in old.csr -signkey old.key -out old.pem -extfile v3 -days -1",
    );
    let (_server, address) = start(dir, "old", "127.0.0.1:0", "-accept");
    let port = address.rsplit(':').next().unwrap();
    let old = dir.join("old.pem");
    let options = [&SHORT[..], &["--ca-file", old.to_str().unwrap()]].concat();
    let output = wait(&format!("https://localhost:{port}/"), &options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(110) && said.contains("Expired"),
        "{said}"
    );
}

#[test]
fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ca = &authority(dir);
    drop(https(dir, "server", "IP:127.0.0.1", "-days 30"));
    drop(https(dir, "client", "DNS:client", "-days 30"));
    let mut command = Command::new("openssl");
    command.args([
        "s_server",
        "-www",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        "server.pem",
    ]);
    command.args([
        "-key",
        "server.key",
        "-CAfile",
        "ca.pem",
        "-Verify",
        "1",
        "-verify_return_error",
    ]);
    let (_server, address) = started(command.current_dir(dir));
    let url = format!("https://{address}/");
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let both = fs::read_to_string(path("client.key")).unwrap()
        + &fs::read_to_string(path("client.pem")).unwrap();
    fs::write(path("both.pem"), both).unwrap();
    let (cert, key, both) = (path("client.pem"), path("client.key"), path("both.pem"));
    for more in [&["--cert", &*cert, "--key", &*key][..], &["--cert", &*both]] {
        let output = wait(&url, &[&["--ca-file", ca][..], more].concat());
        assert!(output.status.success(), "{more:?}: {output:?}");
    }
    let output = wait(&url, &[&SHORT[..], &["--ca-file", ca]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("wants a client certificate"), "{said}");

    let bad: [(&[&str], i32); 5] = [
        (&["--cert", &cert], 22),
        (&["--cert", &cert, "--key", &path("server.key")], 22),
        (&["--cert", "/nonexistent"], 2),
        (&["--cert", &cert, "--key", "/nonexistent"], 2),
        (&["--key", &key], 64),
    ];
    for (more, status) in bad {
        let output = wait(&url, more);
        assert_eq!(output.status.code(), Some(status), "{more:?}: {output:?}");
    }
}
