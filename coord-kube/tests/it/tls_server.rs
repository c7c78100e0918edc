//! A server with HTTP/2 and TLS that does what a test wants with each request.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use h2::server::SendResponse;
use http::Response;
use hyper::body::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that ends with the test's runtime.
pub(crate) struct TlsServer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    authority: PathBuf,
}

/// Creates a key and a certificate for this machine, as `openssl req -x509` does: the certificate
/// is a CA's (CA:TRUE).
pub(crate) fn certificate(directory: &Path, name: &str) {
    certificate_until(directory, name, 2100);
}

/// The same, but the certificate expires when this year begins.
pub(crate) fn certificate_until(directory: &Path, name: &str, year: i32) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    std::fs::write(directory.join(format!("{name}.crt")), certificate).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

pub(crate) fn answer(respond: &mut SendResponse<Bytes>, status: u16) {
    let answer = Response::builder().status(status).body(()).unwrap();
    respond.send_response(answer, true).unwrap();
}

impl TlsServer {
    /// Starts a server with the certificate of this name. `serve` gets the number of earlier
    /// requests on the connection. If it returns true, the server closes the connection.
    pub(crate) fn start(
        directory: &Path,
        name: &str,
        serve: impl Fn(usize, SendResponse<Bytes>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let authority = directory.join(format!("{name}.crt"));
        let chain = CertificateDer::pem_file_iter(&authority).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (counter, serve) = (Arc::clone(&accepted), Arc::new(serve));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    let mut connection = h2::server::handshake(stream).await.ok()?;
                    let mut served = 0;
                    while let Some(request) = connection.accept().await {
                        if serve(served, request.ok()?.1) {
                            connection.graceful_shutdown();
                        }
                        served += 1;
                    }
                    Some(())
                });
            }
        });
        Self {
            address,
            accepted,
            authority,
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// A kubeconfig in which the server's own certificate is the CA.
    pub(crate) fn kubeconfig(&self, directory: &Path, user: &Value) -> PathBuf {
        self.kubeconfig_with(directory, user, &json!({}))
    }

    /// The same, with more fields for the cluster.
    pub(crate) fn kubeconfig_with(&self, directory: &Path, user: &Value, more: &Value) -> PathBuf {
        let url = format!("https://{}", self.address);
        let mut config = apiserver::cluster::kubeconfig(&url, &self.authority, user);
        for (name, value) in more.as_object().unwrap() {
            config["clusters"][0]["cluster"][name] = value.clone();
        }
        let path = directory.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}
