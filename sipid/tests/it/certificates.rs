//! Good and bad certificates, and servers that use them.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::server::{local, request, serve};

/// A CA's certificate, as `openssl req -x509` makes it.
pub(crate) const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

/// A certificate for these names that stays valid for long.
pub(crate) fn params(names: &[&str], is_ca: IsCa) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.is_ca = is_ca;
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

/// The same certificate, but expired.
pub(crate) fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

/// Creates a self-signed certificate, and returns its path.
pub(crate) fn own(dir: &Path, file: &str, params: &CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    write(dir, file, &params.self_signed(&key).unwrap().pem(), &key)
}

/// Creates the CA `ca`, and returns the path of its certificate.
pub(crate) fn authority(dir: &Path) -> String {
    own(dir, "ca", &of_authority())
}

/// Creates a certificate that `ca` has signed, and returns its path.
pub(crate) fn issued(dir: &Path, file: &str, params: &CertificateParams) -> String {
    let authority_key = fs::read_to_string(dir.join("ca.key")).unwrap();
    let authority_key = KeyPair::from_pem(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(of_authority(), authority_key));
    write(dir, file, &certificate.unwrap().pem(), &key)
}

/// Starts a server with this certificate, which answers every request with 200. Returns its port.
pub(crate) fn start(dir: &Path, file: &str) -> u16 {
    started(config(dir, file, None))
}

/// The same, but only for clients with a certificate of `ca`.
pub(crate) fn start_for_known_clients(dir: &Path, file: &str) -> u16 {
    started(config(dir, file, Some("ca")))
}

/// The same as [`start`], on a Unix socket.
pub(crate) fn start_on_socket(dir: &Path, file: &str, socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let config = config(dir, file, None);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &config);
        }
    });
}

fn of_authority() -> CertificateParams {
    let mut authority = params(&[], CA);
    authority
        .distinguished_name
        .push(DnType::CommonName, "authority");
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
}

fn write(dir: &Path, file: &str, certificate: &str, key: &KeyPair) -> String {
    let path = dir.join(format!("{file}.pem"));
    fs::write(&path, certificate).unwrap();
    fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn config(dir: &Path, file: &str, clients_of: Option<&str>) -> Arc<ServerConfig> {
    let certificate =
        |name: &str| CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients_of {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(authority)).unwrap();
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(clients.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{file}.key"))).unwrap();
    let config = config.with_single_cert(vec![certificate(file)], key);
    Arc::new(config.unwrap())
}

fn started(config: Arc<ServerConfig>) -> u16 {
    let address = serve(local(), move |stream, _| answer(stream, &config));
    address.rsplit(':').next().unwrap().parse().unwrap()
}

/// A client that rejects the certificate ends the handshake. Here that is the end of the stream.
fn answer(stream: impl Read + Write, config: &Arc<ServerConfig>) {
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    while request(&mut stream) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}
