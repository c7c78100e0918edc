//! What every answer is looked at for, wherever its request was made: a tower layer around the client.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Response, header};
use http_body_util::{BodyExt, Limited};
use kube::{
    Client,
    client::Body,
    core::{Status, response::StatusDetails},
};
use tower::{BoxError, Layer, Service};

use crate::ClusterClock;

/// More than any Status of the API server has.
const LONGEST_ANSWER: usize = 1 << 20;

/// The client, with its answers observed.
pub(super) fn observed(client: Client, clock: &ClusterClock) -> Client {
    let namespace = client.default_namespace().to_owned();
    let layer = Observe {
        clock: clock.clone(),
    };
    let send = tower::service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(layer.layer(send), namespace)
}

/// Reads the `Date` of each answer, and puts the `Retry-After` of a refused one where the client's error has it.
#[derive(Clone)]
struct Observe {
    clock: ClusterClock,
}

#[derive(Clone)]
struct Observed<S> {
    inner: S,
    clock: ClusterClock,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            clock: self.clock.clone(),
        }
    }
}

impl<S> Service<http::Request<Body>> for Observed<S>
where
    S: Service<http::Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        let clock = self.clock.clone();
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            if let Some(date) = header(&answer, header::DATE)
                && let Ok(date) = httpdate::parse_http_date(date)
            {
                clock.observe(date);
            }
            match header(&answer, header::RETRY_AFTER).and_then(|after| after.parse().ok()) {
                Some(seconds) if !answer.status().is_success() => with_delay(answer, seconds).await,
                _ => Ok(answer),
            }
        })
    }
}

fn header(answer: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    answer.headers().get(name)?.to_str().ok()
}

/// The client drops the headers of an answer that is an error; its Status has a field for the delay.
async fn with_delay(answer: Response<Body>, seconds: u32) -> Result<Response<Body>, BoxError> {
    let (mut head, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER)
        .collect()
        .await?
        .to_bytes();
    let mut status: Status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body);
        Status::failure(text.trim(), "").with_code(head.status.as_u16())
    });
    let details = status.details.get_or_insert_with(|| StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    });
    details.retry_after_seconds = seconds;
    let body = serde_json::to_vec(&status)?;
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(body)))
}
