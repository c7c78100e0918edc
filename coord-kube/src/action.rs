//! What a request is about, for error texts.

use std::fmt;

/// What a request is about: a verb of the API, a resource, and the object if it concerns one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

impl Action {
    /// A request with this verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`).
    /// `resource` is the plural name with its API group, as in [`Rule::new`](crate::Rule::new).
    #[must_use]
    pub fn new(verb: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            resource,
            namespace: None,
            name: None,
        }
    }

    /// Sets the object.
    #[must_use]
    pub fn on(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace:?}")?;
        }
        Ok(())
    }
}
