//! The requests that the API server has received, from its audit log.

use std::{fs, path::Path};

use serde_json::Value;

use crate::Result;

/// One request, with its answer. A watch appears as soon as it has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: String,
    /// The plural name.
    pub resource: String,
    /// The namespace; empty for none.
    pub namespace: String,
    /// The object's name; empty for none.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// The program that asked.
    pub user_agent: String,
    /// The HTTP status of the answer.
    pub status: u64,
}

/// The requests of one namespace, in the order in which they were answered.
///
/// The server may log a request a moment after its client has the answer.
///
/// # Errors
/// When the log cannot be read.
pub fn requests(directory: &Path, namespace: &str) -> Result<Vec<Request>> {
    let path = directory.join("audit.log");
    let log =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path:?}: {error}"))?;
    // Most lines are of other tests. The last one may still be incomplete.
    let events = log
        .lines()
        .filter(|line| line.contains(namespace))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let requests = events.filter(is_counted).map(|event| request(&event));
    Ok(requests
        .filter(|request| request.namespace == namespace)
        .collect())
}

/// A watch has one event when it begins and one when it ends. Any other request has only the
/// latter.
fn is_counted(event: &Value) -> bool {
    let counted = if event["verb"] == "watch" {
        "ResponseStarted"
    } else {
        "ResponseComplete"
    };
    event["stage"] == counted
}

fn request(event: &Value) -> Request {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    Request {
        verb: text(&event["verb"]),
        resource: text(&object["resource"]),
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        user: text(&event["user"]["username"]),
        user_agent: text(&event["userAgent"]),
        status: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    }
}
