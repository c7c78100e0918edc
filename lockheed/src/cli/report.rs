//! What a command says while it waits and while it holds: log lines, and the live line on a terminal.

use coord_lease::WaitLine;
use lockheed::Event;

/// Says what happens to one lock.
#[derive(Clone)]
pub(crate) struct Report(pub(crate) WaitLine);

impl Report {
    /// For [`lockheed::Lock::on_event`].
    pub(crate) fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let report = self.clone();
        move |event| report.event(event)
    }

    fn event(&self, event: &Event) {
        let name = self.0.lock();
        if let Event::Waiting(why) | Event::Unreachable(why) = event {
            self.0.show(why);
        }
        match event {
            Event::Lost(_) => log::error!("lock {name}: {event}"),
            Event::NotRenewed(_)
            | Event::NotReleased(_)
            | Event::Unreachable(_)
            | Event::Reachable => log::warn!("lock {name}: {event}"),
            Event::Acquired(_) | Event::Released | Event::Waiting(_) => {
                log::info!("lock {name}: {event}");
            }
            _ => log::debug!("lock {name}: {event} ({})", event.code()),
        }
    }
}
