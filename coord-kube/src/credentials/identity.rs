//! A client certificate and its key.

use std::fmt;

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

/// `secp521r1`, 1.3.132.0.35, as encoded in a key (RFC 5480 section 2.1.1.1).
const P521: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// Our identity for TLS.
pub(crate) struct Identity(CertifiedKey);

impl Identity {
    /// Creates it from a certificate with its chain, and its key, both in PEM.
    ///
    /// # Errors
    /// What is wrong with them, without any of their content.
    pub(crate) fn of(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("the client certificate is no PEM: {error}"))?;
        if chain.is_empty() {
            return Err("the client certificate is no certificate in PEM".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            "the client key is no private key in PEM, or one that wants a password".to_owned()
        })?;
        let der = key.secret_der();
        if der.windows(P521.len()).any(|at| at == P521) {
            return Err(
                "the client key is one of the curve P-521, which is not supported: use P-256, P-384, Ed25519 or RSA"
                    .to_owned(),
            );
        }
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map(Self)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    "the client key is not the one of the client certificate".to_owned()
                }
                error => format!("the client key cannot be used: {error}"),
            })
    }

    pub(crate) fn key(&self) -> CertifiedKey {
        self.0.clone()
    }

    /// Whether both have the same certificate, and so the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
