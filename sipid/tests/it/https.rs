//! Which certificates are trusted, and what the errors say about the others.

use std::{
    fs,
    io::{Read, Write},
    process::Output,
};

use rcgen::IsCa;

use crate::{
    certificates::{
        CA, authority, expired, issued, own, params, start, start_for_known_clients,
        start_on_socket,
    },
    server::{answering, local, serve, wait},
};

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
    let url_of = |file: &str| format!("https://127.0.0.1:{}/", start(dir, file));
    issued(dir, "good", &params(&["127.0.0.1"], IsCa::ExplicitNoCa));
    let url = url_of("good");
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
    issued(dir, "wrong", &params(&["elsewhere"], IsCa::ExplicitNoCa));
    refused(wait(&url_of("wrong"), &short), "not valid for");
    let old = expired(params(&["127.0.0.1"], IsCa::ExplicitNoCa));
    issued(dir, "old", &old);
    refused(wait(&url_of("old"), &short), "expired");
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
    let names = ["127.0.0.1", "name.invalid"];
    issued(dir, "good", &params(&names, IsCa::ExplicitNoCa));
    let url = format!("https://127.0.0.1:{}/", start(dir, "good"));
    let plain = answering(format!("301 Moved\r\nLocation: {url}"));
    let redirected = wait(&format!("http://{plain}"), &["--ca-file", ca]);
    assert!(redirected.status.success(), "{redirected:?}");
    let socket = dir.join("socket");
    start_on_socket(dir, "good", &socket);
    let options = ["--ca-file", ca, "--unix-socket", socket.to_str().unwrap()];
    let answered = wait("https://name.invalid/", &options);
    assert!(answered.status.success(), "{answered:?}");
}

const SHORT: [&str; 4] = ["--timeout", "1500ms", "--polling-frequency", "1s"];

#[test]
fn a_server_whose_own_certificate_is_in_the_ca_file_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let names: &[&str] = &["localhost", "127.0.0.1"];
    let cases = [
        ("ca-without-names", params(&[], CA)),
        ("ca", params(names, CA)),
        ("leaf-without-names", params(&[], IsCa::ExplicitNoCa)),
        ("leaf", params(names, IsCa::ExplicitNoCa)),
    ];
    for (file, params) in cases {
        let ca = own(dir, file, &params);
        let url = format!("https://localhost:{}/", start(dir, file));
        let output = wait(&url, &["--ca-file", &ca]);
        assert!(output.status.success(), "{file}: {output:?}");
    }
    // The certificate was issued by a CA that is not in the file.
    authority(dir);
    let ca = issued(dir, "issued", &params(&["127.0.0.1"], IsCa::ExplicitNoCa));
    let url = format!("https://127.0.0.1:{}/", start(dir, "issued"));
    let output = wait(&url, &["--ca-file", &ca]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_to_do_about_a_certificate_is_said_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let own_ca = own(dir, "own", &params(&[], CA));
    let other_ca = own(dir, "other", &params(&[], CA));
    let names_ca = own(dir, "names", &params(&["elsewhere"], CA));
    let ca = authority(dir);
    issued(dir, "issued", &params(&[], IsCa::ExplicitNoCa));
    let [own_port, names_port, issued_port] =
        ["own", "names", "issued"].map(|file| start(dir, file));
    let cases = [
        (
            own_port,
            &other_ca,
            "put that very certificate into the CA file",
        ),
        (names_port, &names_ca, "elsewhere"),
        (issued_port, &ca, "subjectAltName"),
        (
            issued_port,
            &own_ca,
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

/// The certificate is trusted as it is, but not after its end.
#[test]
fn an_expired_certificate_is_not_trusted_even_if_it_is_in_the_ca_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let old = own(dir, "old", &expired(params(&[], CA)));
    let port = start(dir, "old");
    let options = [&SHORT[..], &["--ca-file", &old]].concat();
    let output = wait(&format!("https://localhost:{port}/"), &options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(110) && said.contains("expired"),
        "{said}"
    );
}

#[test]
fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ca = &authority(dir);
    issued(dir, "server", &params(&["127.0.0.1"], IsCa::ExplicitNoCa));
    issued(dir, "client", &params(&["client"], IsCa::ExplicitNoCa));
    let port = start_for_known_clients(dir, "server");
    let url = format!("https://127.0.0.1:{port}/");
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
