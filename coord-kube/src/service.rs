//! The service under kube's client: it shows credentials, and again when the server has not accepted them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, combinators::MapErr};
use hyper::body::Incoming;
use kube::{Config, client::Body};
use tower::{BoxError, Service};

use crate::{
    Error,
    connection::{Connections, copy, lost},
    credentials::{Credential, Credentials, Failed},
};

/// Sends requests with absolute URIs. Clones share the connections and the credentials.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Shared>);

struct Shared {
    connections: Connections,
    credentials: Credentials,
}

type Answer = Response<MapErr<Incoming, fn(hyper::Error) -> BoxError>>;

impl Sender {
    /// Nothing is sent, and no plugin runs, before the first request.
    pub(crate) fn of(config: &Config, attended: bool) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            connections: Connections::of(config)?,
            credentials: Credentials::of(&config.auth_info, attended)?,
        })))
    }

    /// Waits for the first credentials.
    pub(crate) async fn log_in(&self) -> Result<(), Failed> {
        self.0.credentials.current().await.map(drop)
    }
}

impl Service<Request<Body>> for Sender {
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = shared.send(request).await?;
            Ok(answer.map(|body| body.map_err(lost as fn(hyper::Error) -> BoxError)))
        })
    }
}

impl Shared {
    /// A request that is not accepted (401) has not been done, so that it may be sent again.
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let again = copy(&request);
        let credential = self.credentials.current().await?;
        let answer = self.send_as(&credential, request).await?;
        let Some(again) = again.filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(answer);
        };
        match self.credentials.instead_of(&credential).await? {
            Some(other) => self.send_as(&other, again).await,
            None => Ok(answer),
        }
    }

    async fn send_as(
        &self,
        credential: &Credential,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, BoxError> {
        if let Some(authorization) = &credential.authorization {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let identity = credential.identity.as_ref();
        self.connections.send(request, identity).await
    }
}
