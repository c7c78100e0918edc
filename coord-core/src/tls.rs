//! Which servers a TLS client trusts: those with a certificate from a CA in a file, and those whose
//! own certificate is in it.
//!
//! `openssl req -x509` creates a CA certificate (`CA:TRUE`), and people use it as a server's own.
//! rustls asks webpki, which rejects a CA certificate for a server (`CaUsedAsEndEntity`). OpenSSL
//! and Go accept it if that certificate is itself trusted, and so does [`server_verifier`]. This
//! loses no security: whoever has the key of a trusted CA can sign for any server.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ParsedCertificate, VerifierBuilderError},
};

/// Verifies as webpki does, but also accepts a server's certificate that is itself trusted.
#[derive(Debug)]
struct PinningVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

/// Returns a verifier that checks a server's certificate against these trusted ones.
///
/// A certificate that they issued, directly or through others, is trusted for the names in it. A
/// certificate that is itself in the list is trusted too, even if it is a CA's or issued by an
/// unknown CA. It is trusted for its names, or for any server if it only has a common name. In all
/// cases it must be valid at the time.
///
/// # Errors
/// When none of the certificates can be used.
pub fn server_verifier(
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    Ok(Arc::new(PinningVerifier { webpki, trusted }))
}

/// An error of rustls in words, with advice where we have some.
///
/// ```
/// use rustls::{CertificateError, Error};
/// let error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
/// let text = coord_core::tls::explained(&error).to_string();
/// assert!(text.contains("UnknownIssuer") && text.contains("CA file"));
/// ```
#[must_use]
pub fn explained(error: &Error) -> impl fmt::Display {
    match advice(error) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

impl PinningVerifier {
    /// webpki checks the validity period before it reports any of the errors that are forgiven
    /// here.
    fn verify_pinned(
        &self,
        reason: &CertificateError,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let is_pinned = self.trusted.iter().any(|trusted| trusted == certificate);
        let is_forgiven = is_without_names(reason)
            || matches!(
                reason,
                CertificateError::UnknownIssuer | CertificateError::Other(_)
            );
        if !is_pinned || !is_forgiven {
            return Err(reason.clone().into());
        }
        match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
            Err(Error::InvalidCertificate(reason)) if is_without_names(&reason) => Ok(()),
            verified => verified,
        }
    }
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .webpki
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            Err(Error::InvalidCertificate(reason)) => self
                .verify_pinned(&reason, certificate, name)
                .map(|()| ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether the certificate has no `subjectAltName` to check: its common name does not count, RFC
/// 9525 section 2.
fn is_without_names(reason: &CertificateError) -> bool {
    matches!(reason, CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty())
}

fn advice(error: &Error) -> Option<&'static str> {
    use rustls::{AlertDescription, InvalidMessage};
    match error {
        Error::InvalidCertificate(reason) => certificate_advice(reason),
        Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        ) => Some("the server wants a client certificate that it trusts"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("the server does not seem to speak TLS on this port")
        }
        _ => None,
    }
}

fn certificate_advice(reason: &CertificateError) -> Option<&'static str> {
    match reason {
        CertificateError::UnknownIssuer => Some(
            "put the certificate of the CA that issued the server's, or the server's own, into the CA file",
        ),
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            Some(
                "the server's certificate is one of a CA: put that very certificate into the CA file, or make it with basicConstraints=CA:FALSE",
            )
        }
        CertificateError::Other(other)
            if format!("{other:?}").contains("UnsupportedCertVersion") =>
        {
            Some(
                "the server's certificate is of version 1: make it with a subjectAltName, which needs version 3",
            )
        }
        reason if is_without_names(reason) => Some(
            "the server's certificate has only a common name: make it with a subjectAltName, or put that very certificate into the CA file",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("renew the server's certificate, or set this machine's clock right")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("set the clock right, here or where the certificate was made")
        }
        _ => None,
    }
}
