//! Whom https trusts: the platform's roots, or the CAs in a file.

use std::{fs, sync::Arc};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Error, Probe};

/// For a URL that is plain, and whose redirects may still lead to https: the platform's roots are read only then.
pub(super) fn plain(probe: &Probe) -> TlsConfig {
    build(probe, platform_roots())
}

pub(super) fn config(probe: &Probe) -> Result<TlsConfig, Error> {
    let roots = match &probe.ca_file {
        None => platform_roots(),
        Some(path) => {
            let pem = fs::read(path).map_err(|error| Error::ca_file(path, error))?;
            let roots: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
            if roots.is_empty() {
                let error = std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    "it has no certificate in PEM",
                );
                return Err(Error::ca_file(path, error));
            }
            roots
        }
    };
    Ok(build(probe, roots))
}

fn build(probe: &Probe, roots: Vec<Certificate<'static>>) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .disable_verification(probe.insecure)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
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
