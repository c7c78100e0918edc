//! The service under kube's client. It adds credentials to requests, and tries again with others if
//! the server rejects them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, combinators::MapErr};
use hyper::body::Incoming;
use kube::{Config, client::Body};
use tokio::task::JoinHandle;
use tower::{BoxError, Service};

use crate::{
    Error,
    connection::{Connections, OnWire, copy, lost},
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
    /// Sends nothing and runs no plugin before the first request.
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
        let on_wire = OnWire::default();
        let sending = Sending {
            on_wire: on_wire.clone(),
            task: tokio::spawn(async move { shared.send(request, &on_wire).await }),
        };
        Box::pin(async move {
            let answer = sending.await?;
            Ok(answer.map(|body| body.map_err(lost as fn(hyper::Error) -> BoxError)))
        })
    }
}

/// A request that makes progress even if its caller does not poll it. A caller may leave one alone
/// for a while, such as the start of a watch. All others would then wait for the connection that it
/// is about to open. Dropping it cancels the request.
struct Sending {
    on_wire: OnWire,
    task: JoinHandle<Result<Response<Incoming>, BoxError>>,
}

impl Future for Sending {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task)
            .poll(context)
            .map(|done| match done {
                Ok(answer) => answer,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is shutting down.
                Err(error) => Err(error.into()),
            })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
        // Now, not when the task has ended: the next request may come before that.
        self.on_wire.doubt();
    }
}

impl Shared {
    /// A rejected request (401) was not executed, so it may be sent again.
    async fn send(
        &self,
        request: Request<Body>,
        on_wire: &OnWire,
    ) -> Result<Response<Incoming>, BoxError> {
        let again = copy(&request);
        let credential = self.credentials.current().await?;
        let answer = self.send_as(&credential, request, on_wire).await?;
        let Some(again) = again.filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(answer);
        };
        match self.credentials.instead_of(&credential).await? {
            Some(other) => self.send_as(&other, again, on_wire).await,
            None => Ok(answer),
        }
    }

    async fn send_as(
        &self,
        credential: &Credential,
        mut request: Request<Body>,
        on_wire: &OnWire,
    ) -> Result<Response<Incoming>, BoxError> {
        if let Some(authorization) = &credential.authorization {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let identity = credential.identity.as_ref();
        self.connections.send(request, identity, on_wire).await
    }
}
