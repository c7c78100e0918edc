//! Checks that apply to every answer, wherever its request was made: a tower layer around the
//! client.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::{
    Client,
    client::Body,
    core::{Status, response::StatusDetails},
};
use serde::Deserialize;
use tower::{BoxError, Layer, Service};

use crate::{ClusterClock, bounded::Bounded};

/// Longer than any Status of the API server.
const LONGEST_STATUS: usize = 1 << 20;

/// Wraps the client so that its answers are observed.
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

/// Reads the `Date` of each answer and limits its length. Turns an error answer into a Status with
/// its HTTP status and `Retry-After`, which the client would drop.
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
    type Response = Response<Bounded<Body>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let watch = is_watch(request.uri());
        let answer = self.inner.call(request);
        let clock = self.clock.clone();
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            if let Some(date) = header(&answer, header::DATE)
                && let Ok(date) = httpdate::parse_http_date(date)
            {
                clock.observe(date);
            }
            let code = answer.status();
            if code.is_client_error() || code.is_server_error() {
                return Ok(as_status(answer).await?.map(Bounded::whole));
            }
            Ok(answer.map(if watch {
                Bounded::lines
            } else {
                Bounded::whole
            }))
        })
    }
}

fn is_watch(uri: &http::Uri) -> bool {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    parameters.any(|parameter| matches!(parameter, "watch=true" | "watch=1"))
}

fn header(answer: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    answer.headers().get(name)?.to_str().ok()
}

/// Replaces the body of an error answer by a Status. Otherwise the client drops the HTTP status and
/// the headers, and takes any JSON for a Status.
async fn as_status(answer: Response<Body>) -> Result<Response<Body>, BoxError> {
    let after = header(&answer, header::RETRY_AFTER).and_then(|after| after.parse().ok());
    let (mut head, body) = answer.into_parts();
    let body = match Limited::new(body, LONGEST_STATUS).collect().await {
        Ok(body) => body.to_bytes(),
        // The body is too long to be useful, so it is dropped.
        Err(error) if error.is::<LengthLimitError>() => hyper::body::Bytes::new(),
        Err(error) => return Err(error),
    };
    let mut status = status(&body, head.status);
    if let Some(seconds) = after {
        let details = status.details.get_or_insert_with(no_details);
        details.retry_after_seconds = seconds;
    }
    let body = serde_json::to_vec(&status)?;
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(body)))
}

/// The Status in the body, or one with the body as its text. If its code is not an error code, the
/// HTTP status replaces it.
fn status(body: &[u8], code: StatusCode) -> Status {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let is_status = serde_json::from_slice(body).is_ok_and(|it: Kind| it.kind == "Status");
    match serde_json::from_slice::<Status>(body) {
        Ok(status) if is_status && (400..600).contains(&status.code) => status,
        Ok(status) if is_status => status.with_code(code.as_u16()),
        _ => {
            let text = String::from_utf8_lossy(body);
            Status::failure(text.trim(), "").with_code(code.as_u16())
        }
    }
}

fn no_details() -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}
