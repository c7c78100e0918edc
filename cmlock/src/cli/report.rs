//! What a command says while it waits and while it holds: log lines, and the live line on a terminal.

use cmlock::Event;
use coord_lease::WaitLine;

/// Says what happens to one lock.
#[derive(Clone)]
pub(crate) struct Report(pub(crate) WaitLine);

impl Report {
    /// For [`cmlock::Lock::on_event`].
    pub(crate) fn handler(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let report = self.clone();
        move |event| report.event(event)
    }

    fn event(&self, event: &Event) {
        let name = self.0.lock();
        match event {
            Event::Waiting(obstacle) => self.0.show(obstacle),
            Event::Unreachable(why) => self.0.show(why),
            _ => {}
        }
        match event {
            Event::Lost(_) => log::error!("lock {name}: {event}"),
            Event::NotExtended(_)
            | Event::NotReleased(_)
            | Event::Unreachable(_)
            | Event::Reachable
            | Event::NotWatchingPods(_) => {
                log::warn!("lock {name}: {event}");
            }
            Event::NoContainer(_)
            | Event::Acquired(_)
            | Event::Freeing(_)
            | Event::Released
            | Event::Waiting(_) => {
                log::info!("lock {name}: {event}");
            }
            _ => log::debug!("lock {name}: {event}"),
        }
    }
}
