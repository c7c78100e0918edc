//! Certificates of the cluster's own, made with `openssl`.

use std::{ffi::OsStr, path::Path, process::Command};

use crate::Result;

/// What signs all the others.
pub(super) fn authority(directory: &Path) -> Result {
    certificate(directory, "ca", "/CN=test-authority", &[])
}

pub(super) fn server(directory: &Path) -> Result {
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc";
    signed(
        directory,
        "server",
        "/CN=kube-apiserver",
        &[names, "extendedKeyUsage=serverAuth"],
    )
}

/// A user's: Kubernetes takes the common name as the user and each organisation as a group.
pub(super) fn client(directory: &Path, user: &str, groups: &[&str]) -> Result {
    let groups: String = groups.iter().map(|group| format!("/O={group}")).collect();
    let subject = format!("{groups}/CN={user}");
    signed(directory, user, &subject, &["extendedKeyUsage=clientAuth"])
}

/// What tokens of service accounts are signed with.
pub(super) fn service_accounts(directory: &Path) -> Result {
    let mut generate = Command::new("openssl");
    generate
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-out", "accounts.key"]);
    run(generate.current_dir(directory))?;
    let mut publish = Command::new("openssl");
    publish.args([
        "pkey",
        "-in",
        "accounts.key",
        "-pubout",
        "-out",
        "accounts.pub",
    ]);
    run(publish.current_dir(directory))
}

fn signed(directory: &Path, name: &str, subject: &str, extensions: &[&str]) -> Result {
    let (authority, key) = (directory.join("ca.crt"), directory.join("ca.key"));
    let mut more = vec![
        OsStr::new("-CA"),
        authority.as_os_str(),
        OsStr::new("-CAkey"),
        key.as_os_str(),
    ];
    for extension in extensions
        .iter()
        .chain(&["basicConstraints=critical,CA:FALSE"])
    {
        more.extend([OsStr::new("-addext"), OsStr::new(extension)]);
    }
    certificate(directory, name, subject, &more)
}

/// A key and a certificate for it, which lasts longer than any test.
fn certificate(directory: &Path, name: &str, subject: &str, more: &[&OsStr]) -> Result {
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-sha256", "-days", "3650", "-subj", subject, "-keyout"])
        .arg(directory.join(format!("{name}.key")))
        .arg("-out")
        .arg(directory.join(format!("{name}.crt")))
        .args(more);
    run(&mut openssl)
}

fn run(openssl: &mut Command) -> Result {
    let output = openssl
        .output()
        .map_err(|error| format!("cannot run openssl, which makes the certificates: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("openssl failed: {}: {said}", output.status).into())
}
