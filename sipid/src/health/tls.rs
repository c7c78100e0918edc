//! Which servers https trusts, and our own identity.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
    time::Instant,
};

use coord_core::tls::server_verifier;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{
    Error, Kind, Probe,
    reason::{Reason, phase},
    stream::Stream,
};

/// A client's TLS settings.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` means the platform's roots, which are read when TLS is first needed.
    verifier: Option<Arc<dyn ServerCertVerifier>>,
    own: Option<Arc<SingleCertAndKey>>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    /// Reads the files at once, so that an invalid one is an error before anything is polled.
    pub(super) fn of(probe: &Probe) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Option<Arc<dyn ServerCertVerifier>> = match &probe.ca_file {
            _ if probe.insecure => Some(Arc::new(Anybody(provider.clone()))),
            Some(path) => Some(verifier(path, &provider)?),
            None => None,
        };
        let own = probe.identity.as_ref();
        let own = own.map(|(certificate, key)| identity(certificate, key, &provider));
        Ok(Self {
            provider,
            verifier,
            own: own.transpose()?,
            config: OnceLock::new(),
        })
    }

    /// Starts TLS on a connection to this host.
    pub(super) fn secure(
        &self,
        mut stream: Box<dyn Stream>,
        host: &str,
    ) -> Result<Box<dyn Stream>, Reason> {
        let config = self.config.get_or_init(|| self.new_config()).clone();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Reason::failed(&error))?;
        let mut tls = ClientConnection::new(config.map_err(Reason::Failed)?, name)
            .map_err(|error| Reason::failed(&error))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)
                .map_err(|error| Reason::of(phase::TLS, &error))?;
        }
        Ok(Box::new(StreamOwned::new(tls, stream)))
    }

    fn new_config(&self) -> Result<Arc<ClientConfig>, String> {
        let verifier = match &self.verifier {
            Some(verifier) => verifier.clone(),
            None => platform_verifier(&self.provider)?,
        };
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(Arc::new(match &self.own {
            Some(own) => config.with_client_cert_resolver(own.clone()),
            None => config.with_no_client_auth(),
        }))
    }
}

impl Stream for StreamOwned<ClientConnection, Box<dyn Stream>> {
    fn limit(&mut self, until: Instant) {
        self.sock.limit(until);
    }

    fn is_quiet(&self) -> bool {
        self.sock.is_quiet()
    }
}

/// Trusts the certificates in this file.
fn verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let cannot = |error| Kind::Pem("read the CA file", path.to_owned(), error);
    let trusted = certificates(path).map_err(cannot)?;
    let verifier = server_verifier(trusted, provider.clone());
    Ok(verifier.map_err(|error| cannot(invalid(error)))?)
}

fn platform_verifier(
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let trusted = rustls_native_certs::load_native_certs().certs;
    server_verifier(trusted, provider.clone()).map_err(|_| {
        "this machine has no CA certificates: install the package ca-certificates, or name a CA file"
            .to_owned()
    })
}

/// Our own certificate with those that issued it, and its key, which may be in the same file.
fn identity(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, Error> {
    let cannot =
        |path: &Path, error| Kind::Pem("use the client certificate", path.to_owned(), error);
    let chain = certificates(certificate).map_err(|error| cannot(certificate, error))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Kind::Pem("use the private key", key.to_owned(), pem_error(error)))?;
    let both = CertifiedKey::from_der(chain, private, provider);
    let both = both.map_err(|error| cannot(certificate, invalid(error)))?;
    Ok(Arc::new(SingleCertAndKey::from(both)))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(pem_error);
    all.and_then(|all| match all.is_empty() {
        true => Err(pem_error(pem::Error::NoItemsFound)),
        false => Ok(all),
    })
}

fn pem_error(error: pem::Error) -> io::Error {
    match error {
        pem::Error::Io(error) => error,
        pem::Error::NoItemsFound => invalid("it has none in PEM, or only an encrypted one"),
        error => invalid(error),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Accepts any certificate, and checks only that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
