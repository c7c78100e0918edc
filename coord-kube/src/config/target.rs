//! Selects a kubeconfig's cluster, user and namespace, and applies the arguments to them, by
//! kubectl's rules.

use std::{fs, io};

use http::Uri;
use k8s_openapi::ByteString;
use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, InClusterError, Kubeconfig},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use coord_core::text::{decimal, without_password};

use crate::{ClientArgs, Error};

/// The configuration that the arguments select from a kubeconfig. `from` is its name for error
/// texts.
pub(super) fn config(
    args: &ClientArgs,
    kubeconfig: &Kubeconfig,
    from: &str,
) -> Result<Config, Error> {
    let chosen = Chosen {
        args,
        kubeconfig,
        from,
    };
    let context = chosen.context()?;
    let mut cluster = chosen.cluster(&context)?;
    if let Some(server) = &args.server {
        cluster.server = Some(server.clone());
        // The old name belongs to the other server.
        cluster.tls_server_name = None;
    }
    let mut config = Config::new(chosen.server(&cluster)?);
    config.root_cert = authority(&cluster)?;
    if cluster.certificate_authority_data.is_none() {
        // The file is read again when it changes.
        config.root_cert_file = cluster.certificate_authority.as_ref().map(Into::into);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone();
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.proxy_url = proxy(&cluster)?;
    if let Some(namespace) = context.namespace {
        config.default_namespace = namespace;
    }
    config.auth_info = as_asked(args, chosen.user(context.user.as_ref(), &cluster)?)?;
    Ok(config)
}

/// The configuration from the Pod's service account.
pub(super) fn of_pod(args: &ClientArgs) -> Result<Config, Error> {
    let mut config = Config::incluster_env().map_err(no_account)?;
    config.default_namespace = config.default_namespace.trim().to_owned();
    if let Some(server) = &args.server {
        config.cluster_url = url("--server", server)?;
    }
    config.auth_info = as_asked(args, config.auth_info)?;
    Ok(config)
}

/// Passes on only the sources of kube's errors, whose texts repeat them.
fn no_account(error: InClusterError) -> Error {
    match error {
        InClusterError::ReadDefaultNamespace(why) => {
            Error::config("the namespace of the Pod's service account", why)
        }
        InClusterError::ReadCertificateBundle(why) => {
            Error::config("the ca.crt of the Pod's service account", why)
        }
        error => Error::config("the Pod's service account", error.to_string()),
    }
}

/// The selection, and the kubeconfig that it comes from.
struct Chosen<'a> {
    args: &'a ClientArgs,
    kubeconfig: &'a Kubeconfig,
    from: &'a str,
}

impl Chosen<'_> {
    fn unusable(&self, why: impl Into<String>) -> Error {
        Error::config(self.from, why.into())
    }

    fn missing(&self, option: &str, name: &str, what: &str) -> Error {
        let why = format!("{} has no {what} of that name", self.from);
        Error::config(format!("{option} {name:?}"), why)
    }

    /// The requested context, otherwise the current one. None is needed if a cluster is named.
    fn context(&self) -> Result<Context, Error> {
        let asked = self.args.context.as_ref().filter(|name| !name.is_empty());
        let Some(name) = asked.or(self.kubeconfig.current_context.as_ref()) else {
            if self.args.cluster.is_some() || self.args.server.is_some() {
                return Ok(Context::default());
            }
            return Err(self.unusable("it has no current-context: set one, or give --context"));
        };
        let mut contexts = self.kubeconfig.contexts.iter();
        match contexts.find(|known| known.name == *name) {
            Some(known) => Ok(known.context.clone().unwrap_or_default()),
            None if asked.is_some() => Err(self.missing("--context", name, "context")),
            None => Err(self.unusable(format!(
                "its current-context {name:?} is not one of its contexts"
            ))),
        }
    }

    fn cluster(&self, context: &Context) -> Result<Cluster, Error> {
        let name = self.args.cluster.as_ref().unwrap_or(&context.cluster);
        let mut clusters = self.kubeconfig.clusters.iter();
        match clusters.find(|known| known.name == *name) {
            Some(known) => Ok(known.cluster.clone().unwrap_or_default()),
            None if self.args.cluster.is_some() => Err(self.missing("--cluster", name, "cluster")),
            None if self.args.server.is_some() => Ok(Cluster::default()),
            None if name.is_empty() => {
                Err(self.unusable("its context names no cluster: give --cluster"))
            }
            None => Err(self.unusable(format!(
                "its context's cluster {name:?} is not one of its clusters"
            ))),
        }
    }

    /// Like kubectl, accepts a context whose user does not exist, and then uses no credentials.
    fn user(&self, of_context: Option<&String>, cluster: &Cluster) -> Result<AuthInfo, Error> {
        let Some(name) = self.args.user.as_ref().or(of_context) else {
            return Ok(AuthInfo::default());
        };
        let mut users = self.kubeconfig.auth_infos.iter();
        let user = match users.find(|known| known.name == *name) {
            Some(known) => known.auth_info.clone(),
            None if self.args.user.is_some() => return Err(self.missing("--user", name, "user")),
            None => None,
        };
        let mut user = user.unwrap_or_default();
        if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
            let told = cluster.try_into();
            exec.cluster = Some(
                told.map_err(|_| self.unusable("its cluster cannot be told to the exec plugin"))?,
            );
        }
        Ok(user)
    }

    fn server(&self, cluster: &Cluster) -> Result<Uri, Error> {
        match (&self.args.server, &cluster.server) {
            (Some(server), _) => url("--server", server),
            (None, Some(server)) => url("server", server),
            (None, None) => Err(self.unusable("its cluster has no server")),
        }
    }
}

/// Parses the address of an API server. `what` says where it comes from.
fn url(what: &str, text: &str) -> Result<Uri, Error> {
    let unusable = |why: &str| Error::config(format!("{what} {:?}", without_password(text)), why);
    let url: Uri = text.parse().map_err(|_| unusable("it is not a URL"))?;
    if !matches!(url.scheme_str(), Some("https" | "http")) {
        return Err(unusable("start it with https:// or http://"));
    }
    let host = url.host().unwrap_or_default();
    if host.is_empty() {
        return Err(unusable("it has no host"));
    }
    let after_host = url.authority().map_or("", |authority| authority.as_str());
    let after_host = after_host.rsplit('@').next().unwrap_or_default();
    let after_host = after_host.strip_prefix(host).unwrap_or(after_host);
    let port = after_host.strip_prefix(':').and_then(decimal::<u16>);
    if !after_host.is_empty() && port.is_none() {
        return Err(unusable("its port is not a number up to 65535"));
    }
    Ok(url)
}

/// Parses `proxy-url`. Without a scheme it is an HTTP proxy.
fn proxy(cluster: &Cluster) -> Result<Option<Uri>, Error> {
    let Some(text) = &cluster.proxy_url else {
        return Ok(None);
    };
    let unusable = |_| {
        let what = format!("proxy-url {:?}", without_password(text));
        Error::config(what, "it is not a URL")
    };
    text.parse().map(Some).map_err(unusable)
}

/// The certificates to verify the server's with; `None` for the system's.
fn authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let (what, pem) = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) => ("certificate-authority-data".to_owned(), decoded(data)),
        (None, Some(path)) => (format!("certificate-authority {path:?}"), fs::read(path)),
        (None, None) => return Ok(None),
    };
    if cluster.insecure_skip_tls_verify == Some(true) {
        let why =
            "insecure-skip-tls-verify is set, and nothing is checked then: remove one of the two";
        return Err(Error::config(what, why));
    }
    let pem = pem.map_err(|error| Error::config(&*what, error))?;
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .filter_map(Result::ok)
        .map(|certificate| certificate.to_vec())
        .collect();
    if certificates.is_empty() {
        return Err(Error::config(what, "there is no certificate in PEM in it"));
    }
    Ok(Some(certificates))
}

fn decoded(base64: &str) -> io::Result<Vec<u8>> {
    // In the Kubernetes API, bytes are base64 in JSON, so its type decodes them. People wrap the
    // lines.
    let compact: String = base64.split_whitespace().collect();
    let bytes = serde_json::from_value::<ByteString>(compact.into());
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not base64");
    bytes.map(|bytes| bytes.0).map_err(wrong)
}

/// Applies `--token`, `--as` and `--as-group`.
fn as_asked(args: &ClientArgs, mut user: AuthInfo) -> Result<AuthInfo, Error> {
    if let Some(token) = &args.token {
        user = AuthInfo {
            token: Some(token.clone().into()),
            token_file: None,
            username: None,
            password: None,
            exec: None,
            auth_provider: None,
            ..user
        };
    }
    if args.impersonate.is_some() {
        user.impersonate.clone_from(&args.impersonate);
    }
    if !args.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(args.impersonate_groups.clone());
    }
    check_impersonation(&user)?;
    Ok(user)
}

/// Checks the impersonated identity, which is sent in headers.
fn check_impersonation(user: &AuthInfo) -> Result<(), Error> {
    let groups = user.impersonate_groups.iter().flatten();
    let extra = user.impersonate_user_extra.iter().flatten();
    let more = user.impersonate_uid.iter().chain(groups);
    let more = more.chain(extra.flat_map(|(_, values)| values));
    for value in user.impersonate.iter().chain(more.clone()) {
        if http::HeaderValue::from_str(value).is_err() {
            let why = "it cannot be sent in an HTTP header";
            return Err(Error::config(format!("{value:?} as somebody's name"), why));
        }
    }
    if user.impersonate.is_none() && more.count() > 0 {
        let why = "there is no user to act as: give --as too";
        return Err(Error::config("--as-group", why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_scheme_a_host_and_maybe_a_port() {
        for good in ["https://h", "http://[::1]:80/path", "https://h:65535"] {
            url("--server", good).unwrap();
        }
        for bad in [
            "",
            "h",
            "h:80",
            "ftp://h",
            "https://",
            "https://h:",
            "https://h:+80",
            "https://h:65536",
            "https://x:x",
            "https://1:+1",
            "https://me:secret@h:x",
            "https://me:secret@h:+80",
        ] {
            let error = url("--server", bad).unwrap_err();
            assert_eq!(error.errno(), coord_core::Errno::EINVAL, "{bad:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
