//! Who we are for the API server, renewed as client-go does it: files when they have changed, plugins when what they gave is about to expire,
//! and either when the server does not accept it any more.

mod files;
mod identity;
mod plugin;

use std::{io, path::PathBuf, sync::Arc};

use http::HeaderValue;
use k8s_openapi::ByteString;
use kube::config::AuthInfo;
use secrecy::{ExposeSecret, SecretString};

use self::plugin::Plugin;
pub(crate) use self::{files::Files, identity::Identity, plugin::Failed};
use crate::{Error, connection::basic};

/// What is shown to the server with one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credential {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// Where credentials come from.
pub(crate) struct Credentials {
    authorization: Authorization,
    identity: ClientCertificate,
    plugin: Option<Arc<Plugin>>,
}

enum Authorization {
    None,
    Fixed(HeaderValue),
    TokenFile(Files<HeaderValue>),
}

enum ClientCertificate {
    None,
    Fixed(Arc<Identity>),
    Files(Files<Identity>),
}

impl Credentials {
    /// Those of a kubeconfig's user. No plugin runs yet; it may have this process's standard input if a person attends.
    pub(crate) fn of(user: &AuthInfo, attended: bool) -> Result<Self, Error> {
        if let Some(provider) = user.auth_provider.as_ref().filter(|it| it.name != "oidc") {
            let what = format!("auth-provider {:?}", provider.name);
            let why = "no client knows it any more: use the exec plugin of the same cloud";
            return Err(Error::config(what, why));
        }
        let plugin = user.exec.as_ref().map(|exec| Plugin::of(exec, attended));
        Ok(Self {
            authorization: Authorization::of(user)?,
            identity: ClientCertificate::of(user)?,
            plugin: plugin.transpose()?.map(Arc::new),
        })
    }

    /// What is to be shown now.
    pub(crate) async fn current(&self) -> Result<Credential, Failed> {
        let own = Credential {
            authorization: self.authorization.current(),
            identity: self.identity.current(),
        };
        match &self.plugin {
            Some(plugin) => Ok(own.or(&*plugin.current().await?)),
            None => Ok(own),
        }
    }

    /// What is to be shown instead of something that the server has not accepted (401): none if there is nothing else.
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
            (Some(one), Some(other)) => one.has_same_certificate(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same && self.authorization == other.authorization
    }
}

impl Authorization {
    /// In client-go's order: a token file goes before a token, which counts only while the file cannot be read.
    fn of(user: &AuthInfo) -> Result<Self, Error> {
        let token = exposed(user.token.as_ref());
        if let Some(path) = given(user.token_file.as_ref()) {
            match (Files::read(vec![PathBuf::from(&path)], token_in), &token) {
                (Ok(file), _) => return Ok(Self::TokenFile(file)),
                (Err(_), Some(_)) => {}
                (Err(why), None) => return Err(unusable(format!("tokenFile {path:?}"), why)),
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

impl ClientCertificate {
    fn of(user: &AuthInfo) -> Result<Self, Error> {
        let data = |what: &str, data: Option<String>| {
            data.map(|data| decoded(&data))
                .transpose()
                .map_err(|()| Error::config(what, "it is not base64"))
        };
        let certificate = data(
            "client-certificate-data",
            given(user.client_certificate_data.as_ref()),
        )?;
        let key = data("client-key-data", exposed(user.client_key_data.as_ref()))?;
        let certificate_file = given(user.client_certificate.as_ref());
        let key_file = given(user.client_key.as_ref());
        // What is in the kubeconfig goes before what is in a file.
        match ((certificate, certificate_file), (key, key_file)) {
            ((None, None), (None, None)) => Ok(Self::None),
            ((Some(certificate), _), (Some(key), _)) => Identity::of(&certificate, &key)
                .map(|identity| Self::Fixed(Arc::new(identity)))
                .map_err(|why| Error::config("client-certificate-data", why)),
            ((None, Some(certificate)), (None, Some(key))) => {
                let paths = vec![PathBuf::from(&certificate), PathBuf::from(&key)];
                Files::read(paths, |files| Identity::of(&files[0], &files[1]))
                    .map(Self::Files)
                    .map_err(|why| unusable(format!("client-certificate {certificate:?}"), why))
            }
            ((None, None), _) => Err(Error::config("client-key", "it has no client-certificate")),
            (_, (None, None)) => Err(Error::config("client-certificate", "it has no client-key")),
            ((certificate, certificate_file), (key, key_file)) => {
                let read = |data: Option<Vec<u8>>, path: Option<String>| {
                    data.map_or_else(|| std::fs::read(path.unwrap_or_default()), Ok)
                };
                let mixed = || -> io::Result<_> {
                    Ok((read(certificate, certificate_file)?, read(key, key_file)?))
                };
                let unusable = |why: String| Error::config("client-certificate", why);
                let (certificate, key) = mixed().map_err(|error| unusable(error.to_string()))?;
                Identity::of(&certificate, &key)
                    .map(|identity| Self::Fixed(Arc::new(identity)))
                    .map_err(unusable)
            }
        }
    }

    fn current(&self) -> Option<Arc<Identity>> {
        match self {
            Self::None => None,
            Self::Fixed(identity) => Some(Arc::clone(identity)),
            Self::Files(files) => Some(files.current()),
        }
    }
}

fn token_in(files: &[Vec<u8>]) -> Result<HeaderValue, String> {
    let text = std::str::from_utf8(&files[0]).map_err(|_| "the token is no text")?;
    match text.trim() {
        "" => Err("there is no token in it".to_owned()),
        token => bearer(token),
    }
}

/// The value of the header for a token (RFC 6750).
fn bearer(token: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map(hidden)
        .map_err(|_| "the token has a line break or another character that no token has".to_owned())
}

/// It is not shown by `{:?}`.
fn hidden(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// What is empty is as good as absent.
fn given(value: Option<&String>) -> Option<String> {
    value.filter(|value| !value.is_empty()).cloned()
}

fn exposed(value: Option<&SecretString>) -> Option<String> {
    let value = value.map(|value| value.expose_secret().to_owned());
    given(value.as_ref())
}

fn decoded(base64: &str) -> Result<Vec<u8>, ()> {
    // The API's bytes are base64 in JSON. People wrap lines.
    let compact: String = base64.split_whitespace().collect();
    let bytes = serde_json::from_value::<ByteString>(compact.into());
    bytes.map(|bytes| bytes.0).map_err(drop)
}

fn unusable(what: String, why: String) -> Error {
    Error::config(what, why)
}
