//! The cluster's own certificates.

use std::{fs, path::Path, time::SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::Result;

/// The CA, which signs all the others.
pub(super) fn authority(directory: &Path) -> Result {
    let key = KeyPair::generate()?;
    let certificate = of_authority()?.self_signed(&key)?;
    write(directory, "ca", &certificate.pem(), &key)
}

pub(super) fn server(directory: &Path) -> Result {
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
    let mut server = params("kube-apiserver", &names)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(directory, "server", &server)
}

/// A user's certificate. Kubernetes takes the common name as the user, and the organisation as a
/// group.
pub(super) fn client(directory: &Path, user: &str, group: Option<&str>) -> Result {
    let mut client = params(user, &[])?;
    if let Some(group) = group {
        client
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(directory, user, &client)
}

/// The keys that sign the tokens of service accounts.
pub(super) fn service_accounts(directory: &Path) -> Result {
    let key = KeyPair::generate()?;
    fs::write(directory.join("accounts.key"), key.serialize_pem())?;
    fs::write(directory.join("accounts.pub"), key.public_key_pem())?;
    Ok(())
}

fn of_authority() -> Result<CertificateParams> {
    let mut authority = params("test-authority", &[])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

/// Valid for about ten years, longer than any test.
fn params(name: &str, alternatives: &[&str]) -> Result<CertificateParams> {
    const YEAR: u64 = 31_556_952;
    let alternatives: Vec<String> = alternatives.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let years = SystemTime::UNIX_EPOCH.elapsed()?.as_secs() / YEAR;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(i32::try_from(1970 + years)? + 10, 1, 1);
    Ok(params)
}

fn signed(directory: &Path, name: &str, params: &CertificateParams) -> Result {
    let authority_key = KeyPair::from_pem(&fs::read_to_string(directory.join("ca.key"))?)?;
    let authority = Issuer::new(of_authority()?, authority_key);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;
    write(directory, name, &certificate.pem(), &key)
}

fn write(directory: &Path, name: &str, certificate: &str, key: &KeyPair) -> Result {
    fs::write(directory.join(format!("{name}.crt")), certificate)?;
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    Ok(())
}
