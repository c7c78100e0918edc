//! Our identity for the API server, renewed as client-go does. Files are read again when they
//! change, and plugins run again when their credential is about to expire. Both also happen when
//! the server no longer accepts the credential.

mod files;
mod identity;
mod plugin;

use std::{path::PathBuf, sync::Arc};

use http::HeaderValue;
use k8s_openapi::ByteString;
use kube::config::AuthInfo;
use secrecy::{ExposeSecret, SecretString};

use self::plugin::Plugin;
pub(crate) use self::{files::Files, identity::Identity, plugin::Failed};
use crate::{Error, connection::basic};

/// The credential that is sent with a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// Where credentials come from.
pub(crate) struct Credentials {
    authorization: Authorization,
    identity: Option<Files<Identity>>,
    plugin: Option<Arc<Plugin>>,
}

enum Authorization {
    None,
    Fixed(HeaderValue),
    TokenFile(Files<HeaderValue>),
}

/// A certificate or a key. Data in the kubeconfig takes precedence over a file.
#[derive(Clone)]
enum Pem {
    Data(Vec<u8>),
    File(PathBuf),
}

impl Credentials {
    /// The credentials of a kubeconfig's user. No plugin runs yet. It may have this process's
    /// standard input if a person attends.
    pub(crate) fn of(user: &AuthInfo, attended: bool) -> Result<Self, Error> {
        if let Some(provider) = user.auth_provider.as_ref().filter(|it| it.name != "oidc") {
            let what = format!("auth-provider {:?}", provider.name);
            let why = "no client knows it any more: use the exec plugin of the same cloud";
            return Err(Error::config(what, why));
        }
        let plugin = user.exec.as_ref().map(|exec| Plugin::of(exec, attended));
        Ok(Self {
            authorization: Authorization::of(user)?,
            identity: client_certificate(user)?,
            plugin: plugin.transpose()?.map(Arc::new),
        })
    }

    /// The credential to send now.
    pub(crate) async fn current(&self) -> Result<Credential, Failed> {
        let own = Credential {
            authorization: self.authorization.current(),
            identity: self.identity.as_ref().map(Files::current),
        };
        match &self.plugin {
            Some(plugin) => Ok(own.or(&*plugin.current().await?)),
            None => Ok(own),
        }
    }

    /// The credential to send instead of one that the server rejected (401); `None` if there is no
    /// other.
    pub(crate) async fn instead_of(
        &self,
        refused: &Credential,
    ) -> Result<Option<Credential>, Failed> {
        if let Some(plugin) = &self.plugin {
            plugin.refused(refused).await?;
        }
        let other = self.current().await?;
        Ok((!other.is(refused)).then_some(other))
    }
}

impl Credential {
    fn or(self, other: &Self) -> Self {
        Self {
            authorization: self.authorization.or_else(|| other.authorization.clone()),
            identity: other.identity.clone().or(self.identity),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let same = match (&self.identity, &other.identity) {
            (Some(one), Some(other)) => one.is(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same && self.authorization == other.authorization
    }
}

impl Authorization {
    /// In client-go's order: a token file takes precedence over a token, which counts only while
    /// the file cannot be read.
    fn of(user: &AuthInfo) -> Result<Self, Error> {
        let token = exposed(user.token.as_ref());
        if let Some(path) = given(user.token_file.as_ref()) {
            match (Files::read(vec![PathBuf::from(&path)], token_in), &token) {
                (Ok(file), _) => return Ok(Self::TokenFile(file)),
                (Err(_), Some(_)) => {}
                (Err(why), None) => return Err(Error::config(format!("tokenFile {path:?}"), why)),
            }
        }
        if let Some(token) = token {
            let fixed = bearer(&token).map(Self::Fixed);
            return fixed.map_err(|why| Error::config("the token of the kubeconfig's user", why));
        }
        if let Some(user_name) = given(user.username.as_ref()) {
            let password = exposed(user.password.as_ref()).unwrap_or_default();
            let value = HeaderValue::try_from(basic(&user_name, &password));
            return Ok(value.map_or(Self::None, |value| Self::Fixed(hidden(value))));
        }
        if let Some(provider) = &user.auth_provider {
            let token = given(provider.config.get("id-token"));
            let why = "it has no id-token";
            let token = token.ok_or_else(|| Error::config("auth-provider \"oidc\"", why))?;
            let fixed = bearer(&token).map(Self::Fixed);
            return fixed
                .map_err(|why| Error::config("the id-token of auth-provider \"oidc\"", why));
        }
        Ok(Self::None)
    }

    fn current(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Fixed(value) => Some(value.clone()),
            Self::TokenFile(file) => Some((*file.current()).clone()),
        }
    }
}

impl Pem {
    fn of(what: &str, data: Option<String>, path: Option<&String>) -> Result<Option<Self>, Error> {
        match (data, given(path)) {
            (Some(data), _) => match decoded(&data) {
                Ok(pem) => Ok(Some(Self::Data(pem))),
                Err(()) => Err(Error::config(format!("{what}-data"), "it is not base64")),
            },
            (None, path) => Ok(path.map(|path| Self::File(path.into()))),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Data(_) => None,
            Self::File(path) => Some(path.clone()),
        }
    }

    /// The content. `files` are the contents of the files that have not been used yet.
    fn take<'a>(&'a self, files: &mut impl Iterator<Item = &'a Vec<u8>>) -> &'a [u8] {
        match self {
            Self::Data(pem) => pem,
            Self::File(_) => files.next().map_or(&[], Vec::as_slice),
        }
    }
}

fn client_certificate(user: &AuthInfo) -> Result<Option<Files<Identity>>, Error> {
    const WHAT: [&str; 2] = ["client-certificate", "client-key"];
    let data = given(user.client_certificate_data.as_ref());
    let certificate = Pem::of(WHAT[0], data, user.client_certificate.as_ref())?;
    let data = exposed(user.client_key_data.as_ref());
    let (certificate, key) = match (
        certificate,
        Pem::of(WHAT[1], data, user.client_key.as_ref())?,
    ) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(Error::config(WHAT[0], "it has no client-key")),
        (None, Some(_)) => return Err(Error::config(WHAT[1], "it has no client-certificate")),
    };
    let what = match certificate.path() {
        Some(path) => format!("{} {path:?}", WHAT[0]),
        None => format!("{}-data", WHAT[0]),
    };
    let paths = [&certificate, &key].into_iter().filter_map(Pem::path);
    Files::read(paths.collect(), move |files| {
        let mut files = files.iter();
        let certificate = certificate.take(&mut files);
        Identity::of(certificate, key.take(&mut files))
    })
    .map(Some)
    .map_err(|why| Error::config(what, why))
}

fn token_in(files: &[Vec<u8>]) -> Result<HeaderValue, String> {
    let text = std::str::from_utf8(&files[0]).map_err(|_| "the token is no text")?;
    match text.trim() {
        "" => Err("there is no token in it".to_owned()),
        token => bearer(token),
    }
}

/// The header's value for a token (RFC 6750).
fn bearer(token: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map(hidden)
        .map_err(|_| "the token has a line break or another character that no token has".to_owned())
}

/// Hides it from `{:?}`.
fn hidden(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// An empty value counts as absent.
fn given(value: Option<&String>) -> Option<String> {
    value.filter(|value| !value.is_empty()).cloned()
}

fn exposed(value: Option<&SecretString>) -> Option<String> {
    let value = value.map(|value| value.expose_secret().to_owned());
    given(value.as_ref())
}

fn decoded(base64: &str) -> Result<Vec<u8>, ()> {
    // In the Kubernetes API, bytes are base64 in JSON, so its type decodes them. People wrap the
    // lines.
    let compact: String = base64.split_whitespace().collect();
    let bytes = serde_json::from_value::<ByteString>(compact.into());
    bytes.map(|bytes| bytes.0).map_err(drop)
}
