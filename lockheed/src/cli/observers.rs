//! Everything that observes the lock of `run`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use coord_lease::WaitReport;
use lockheed::{Event, Held, LeaseLost};

use super::{events::Recorder, hooks::Hooks, metrics::Metrics, report};

#[derive(Clone)]
pub(crate) struct Observers(Arc<All>);

struct All {
    log: Box<dyn Fn(&Event) + Send + Sync>,
    hooks: Hooks,
    metrics: Metrics,
    events: Recorder,
    is_lost: AtomicBool,
}

impl Observers {
    pub(crate) fn new(
        report: &WaitReport,
        hooks: &Hooks,
        metrics: &Metrics,
        events: &Recorder,
    ) -> Self {
        Self(Arc::new(All {
            log: Box::new(report::handler(report)),
            hooks: hooks.clone(),
            metrics: metrics.clone(),
            events: events.clone(),
            is_lost: AtomicBool::new(false),
        }))
    }

    /// Something has happened. The loss of what was acquired is told once.
    pub(crate) fn tell(&self, event: &Event) {
        let all = &self.0;
        if matches!(event, Event::Acquired(_)) {
            all.is_lost.store(false, Ordering::SeqCst);
        }
        if matches!(event, Event::Lost(_)) && all.is_lost.swap(true, Ordering::SeqCst) {
            return;
        }
        (all.log)(event);
        all.hooks.tell(event);
        all.metrics.tell(event);
        all.events.tell(event);
    }

    /// The command was ended since the lock was lost, or would have been: it is ended some time
    /// before the end of a lease that cannot be renewed.
    pub(crate) fn lost(&self, held: &Held) {
        let why = held.lease().lost_because();
        self.tell(&Event::Lost(why.unwrap_or(LeaseLost::Expired)));
    }
}
