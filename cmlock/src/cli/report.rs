//! What a command reports while it waits and while it holds.

use cmlock::Event;
use coord_lease::WaitReport;
use log::Level;

/// For [`cmlock::Lock::on_event`].
pub(crate) fn handler(report: &WaitReport) -> impl Fn(&Event) + Send + Sync + 'static {
    let report = report.clone();
    move |event| match event {
        Event::Waiting(obstacle) => report.waiting(obstacle),
        Event::StillWaiting(obstacle) => report.still_waiting(obstacle),
        Event::Acquired(_) => report.acquired(event),
        Event::Lost(_) => report.log(Level::Error, event),
        Event::Unreachable(why) => {
            report.show(why);
            report.log(Level::Warn, event);
        }
        Event::NotExtended(_)
        | Event::NotReleased(_)
        | Event::Reachable
        | Event::NotWatchingPods(_) => report.log(Level::Warn, event),
        _ => report.log(Level::Debug, event),
    }
}
