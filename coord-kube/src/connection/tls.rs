//! TLS to the API server: which certificates we trust, and our own identity.

use std::{io, path::PathBuf, sync::Arc};

use coord_core::text::without_password;
use kube::Config;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};
use tokio_rustls::TlsConnector;

use super::{Stream, proxy::bare};
use crate::{
    Error,
    credentials::{Files, Identity},
};

/// Protocols in our order of preference (ALPN, RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub(crate) type Roots = Vec<CertificateDer<'static>>;

/// How TLS connections are made.
pub(super) struct Tls {
    trust: Trust,
    /// The name that the server's certificate must contain.
    server: ServerName<'static>,
    provider: Arc<CryptoProvider>,
}

/// Which server certificates are trusted.
enum Trust {
    /// All of them.
    Anyone,
    /// Those from these CAs. They are read again if they are in a file that has changed.
    Roots(Files<Roots>),
}

/// Applies webpki's rules, and also what Go allows: the server's certificate may itself be the
/// configured CA, as `openssl req -x509` creates it.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Roots,
}

/// Checks only that the server has the key of its certificate (`insecure-skip-tls-verify`).
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl Tls {
    pub(super) fn of(config: &Config) -> Result<Self, Error> {
        let host = config.cluster_url.host().unwrap_or_default();
        let name = match &config.tls_server_name {
            Some(name) if !name.is_empty() => name,
            _ => bare(host),
        };
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            let why = "its name cannot be in a certificate";
            Error::config(format!("the server {name:?}"), why)
        })?;
        Ok(Self {
            trust: Trust::of(config)?,
            server,
            provider: Arc::new(ring::default_provider()),
        })
    }

    /// Starts TLS on the connection, with us as `identity`. Also returns whether it uses HTTP/2.
    pub(super) async fn to_server(
        &self,
        stream: Box<dyn Stream>,
        identity: Option<&Identity>,
    ) -> io::Result<(Box<dyn Stream>, bool)> {
        let mut config = self.config(identity).map_err(io::Error::other)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(self.server.clone(), stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0]);
        Ok((Box::new(stream), http2))
    }

    /// Starts TLS to a proxy, without our identity.
    pub(super) async fn to_proxy(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
    ) -> io::Result<Box<dyn Stream>> {
        let config = self.config(None).map_err(io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    /// Created for each connection: a resumed session would keep the old identity.
    fn config(&self, identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        Ok(match identity {
            Some(identity) => {
                let key = Arc::new(SingleCertAndKey::from(identity.key()));
                config.with_client_cert_resolver(key)
            }
            None => config.with_no_client_auth(),
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        let provider = Arc::clone(&self.provider);
        let roots = match &self.trust {
            Trust::Anyone => return Ok(Arc::new(NoVerifier(provider))),
            Trust::Roots(roots) => roots.current().to_vec(),
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Arc::new(Verifier { webpki, roots }))
    }
}

impl Trust {
    fn of(config: &Config) -> Result<Self, Error> {
        if config.accept_invalid_certs || config.cluster_url.scheme_str() == Some("http") {
            return Ok(Self::Anyone);
        }
        if let Some(path) = &config.root_cert_file {
            let what = format!("the CA certificates in {path:?}");
            let roots = Files::read(vec![PathBuf::from(path)], roots_in);
            return roots
                .map(Self::Roots)
                .map_err(|why| Error::config(what, why));
        }
        let server = config.cluster_url.to_string();
        let what = format!("the cluster at {}", without_password(&server));
        let configured = config.root_cert.as_ref().map(|roots| {
            let roots = roots.iter().cloned();
            roots.map(CertificateDer::from).collect::<Roots>()
        });
        let roots = Files::read(Vec::new(), move |_| {
            configured.clone().map_or_else(system_roots, Ok)
        });
        roots
            .map(Self::Roots)
            .map_err(|why| Error::config(what, why))
    }
}

fn roots_in(files: &[Vec<u8>]) -> Result<Roots, String> {
    let roots = CertificateDer::pem_slice_iter(&files.concat()).collect::<Result<Roots, _>>();
    let roots = roots.map_err(|error| error.to_string())?;
    if roots.is_empty() {
        return Err("there is no certificate in PEM".to_owned());
    }
    Ok(roots)
}

/// The CA certificates of the machine, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_roots() -> Result<Roots, String> {
    let roots = rustls_native_certs::load_native_certs().certs;
    if roots.is_empty() {
        let why = "it has no certificate-authority, and this machine has no CA certificates";
        return Err(why.to_owned());
    }
    Ok(roots)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (webpki, roots) = (&self.webpki, &self.roots);
        match webpki.verify_server_cert(certificate, intermediates, server, ocsp, now) {
            // webpki checks the certificate's dates before this error, so they are valid.
            Err(error) if is_of_ca(&error) => {
                if !roots.iter().any(|root| root == certificate) {
                    return Err(rustls::Error::General(
                        "the server's certificate is a CA's (CA:TRUE) and not the configured one: give the server one with \
                         CA:FALSE, or make it the certificate-authority"
                            .to_owned(),
                    ));
                }
                verify_server_name(&ParsedCertificate::try_from(certificate)?, server)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn is_of_ca(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = error
    else {
        return false;
    };
    matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
