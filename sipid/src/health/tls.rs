//! Whom https trusts: the platform's roots, or the CAs in a file.

use std::{fs, io, path::Path, sync::Arc};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Error, Probe};

pub(super) struct Trust {
    /// Those of the CA file; none means the platform's.
    roots: Option<Vec<Certificate<'static>>>,
    insecure: bool,
}

impl Trust {
    /// Reads the CA file at once, so that a bad one is an error before anything is asked.
    pub(super) fn of(probe: &Probe) -> Result<Self, Error> {
        let read = |path: &Path| from_file(path).map_err(|error| Error::ca_file(path, error));
        Ok(Self {
            roots: probe.ca_file.as_deref().map(read).transpose()?,
            insecure: probe.insecure,
        })
    }

    /// Reads the platform's roots, where they are needed.
    pub(super) fn config(&self) -> TlsConfig {
        let roots = match &self.roots {
            _ if self.insecure => Vec::new(),
            Some(roots) => roots.clone(),
            None => platform_roots(),
        };
        TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .disable_verification(self.insecure)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build()
    }
}

fn from_file(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let pem = fs::read(path)?;
    let roots: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
    if roots.is_empty() {
        let text = "it has no certificate in PEM";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(roots)
}

fn certificate(item: Result<PemItem<'static>, ureq::Error>) -> Option<Certificate<'static>> {
    match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }
}

fn platform_roots() -> Vec<Certificate<'static>> {
    let loaded = rustls_native_certs::load_native_certs();
    loaded
        .certs
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect()
}
