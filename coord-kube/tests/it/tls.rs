//! Certificates as people have them.

use coord_core::Errno;
use coord_kube::{ClientArgs, Cluster};
use serde_json::json;

use crate::{
    kube::{connect, get},
    tls_server::{self, TlsServer},
};

#[tokio::test]
async fn a_servers_certificate_may_be_the_configured_ca_itself() {
    let directory = tempfile::tempdir().unwrap();
    let text = async |name: &str, more| {
        let server = TlsServer::start(directory.path(), name, |_, mut respond| {
            tls_server::answer(&mut respond, 404);
            false
        });
        let kubeconfig = server.kubeconfig_with(directory.path(), &json!({}), &more);
        let error = get(&connect(&kubeconfig).await, "x").await.unwrap_err();
        assert!(
            [Errno::ENOENT, Errno::EIO].contains(&error.errno()),
            "{error:?}"
        );
        coord_core::errno::with_sources(&error)
    };
    tls_server::certificate(directory.path(), "own");
    let told = text("own", json!({})).await;
    assert!(told.contains("404"), "{told}");
    // Its name is still checked, and it must be the very certificate that the kubeconfig names.
    let told = text("own", json!({"tls-server-name": "another.test"})).await;
    assert!(told.contains("another.test"), "{told}");
    tls_server::certificate(directory.path(), "other");
    let other = directory.path().join("other.crt");
    let told = text("own", json!({"certificate-authority": other})).await;
    assert!(
        told.contains("CA:TRUE") && told.contains("CA:FALSE"),
        "{told}"
    );
    // Its dates are checked, too.
    tls_server::certificate_until(directory.path(), "old", 2020);
    let told = text("old", json!({})).await;
    assert!(told.contains("expired"), "{told}");
    let told = text(
        "own",
        json!({"insecure-skip-tls-verify": true, "certificate-authority": null}),
    );
    assert!(told.await.contains("404"));
}

/// A key on the curve P-521, which nobody uses.
const P521: &str = "-----BEGIN EC PRIVATE KEY-----
MIHcAgEBBEIBbSBjuvcW6u2fsNORQdF+Dsnt7cMpqM/UF6BrwwaHRqneGlXo5RaZ
mISRZd7KjbCElN2V4jfT6B9Yr3TFBLePIRCgBwYFK4EEACOhgYkDgYYABAFabrLK
omhrIhOv2L8B69/EtMyfCjk4LkgiXBwikPFxbU7nKnRq2/tGNFDd85LPe3MynUQU
FvVRWUxVpLK2Hzhv4AHBGPv8gM/JVrNjPJ+31bsJYqDFS9K29R17DWc8QAbtAzV3
yD6jTbcrOkgBs7bT4u4fS38s/8T5R5oeLZ7NXIp6Ag==
-----END EC PRIVATE KEY-----
";

#[tokio::test]
async fn a_client_key_that_cannot_be_used_is_told_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    tls_server::certificate(directory.path(), "server");
    tls_server::certificate(directory.path(), "other");
    std::fs::write(path("p521.key"), P521).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    let server = TlsServer::start(directory.path(), "server", |_, _| false);
    for (certificate, key, expected) in [
        (
            "server.crt",
            "p521.key",
            "P-521, which is not supported: use P-256",
        ),
        (
            "server.crt",
            "other.key",
            "not the one of the client certificate",
        ),
        ("server.crt", "empty", "no private key"),
        ("empty", "server.key", "no certificate"),
        ("server.crt", "none", "No such file"),
    ] {
        let user = json!({"client-certificate": path(certificate), "client-key": path(key)});
        let args = ClientArgs {
            kubeconfig: Some(server.kubeconfig(directory.path(), &user)),
            ..ClientArgs::default()
        };
        let error = Cluster::connect(&args, "t/0").await.map(drop).unwrap_err();
        let told = coord_core::errno::with_sources(&error);
        assert!(told.contains(expected) && !told.contains('\n'), "{told}");
        assert!(told.contains(certificate), "{told}");
        let errno = if key == "none" {
            Errno::ENOENT
        } else {
            Errno::EINVAL
        };
        assert_eq!(error.errno(), errno, "{told}");
    }
}
