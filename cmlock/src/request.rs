//! A failed request, in the form for the lease engine.

use std::{error::Error as StdError, fmt, time::Duration};

use coord_kube::Error;
use coord_lease::engine::{Effect, RequestError};

/// A failed request, and whether it may have had an effect.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    effect: Effect,
}

impl Failed {
    /// For a request that changes nothing.
    pub(crate) fn read(error: Error) -> Self {
        let effect = if error.is_transient() {
            Effect::None
        } else {
            Effect::Final
        };
        Self { error, effect }
    }

    /// For a request that writes. If a creation finds nothing, the namespace is missing, and
    /// reading again does not help.
    pub(crate) fn write(error: Error, creates: bool) -> Self {
        let effect = match error.status() {
            Some(409) => Effect::Conflict,
            Some(404) if !creates => Effect::Conflict,
            _ if !error.had_no_effect() => Effect::Unknown,
            _ if error.is_transient() => Effect::None,
            _ => Effect::Final,
        };
        Self { error, effect }
    }
}

impl RequestError for Failed {
    fn effect(&self) -> Effect {
        self.effect
    }

    fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
