//! What a command reports while it waits for a lock and holds it.

use coord_lease::WaitReport;
use lockheed::Event;
use log::Level;

/// For [`lockheed::Lock::on_event`].
pub(crate) fn handler(report: &WaitReport) -> impl Fn(&Event) + Send + Sync + 'static {
    let report = report.clone();
    move |event| match event {
        Event::Waiting(why) => report.waiting(why),
        Event::StillWaiting(why) => report.still_waiting(why),
        Event::Acquired(_) => report.acquired(event),
        Event::Lost(_) => report.log(Level::Error, event),
        Event::Unreachable(why) => {
            report.show(why);
            report.log(Level::Warn, event);
        }
        Event::NotRenewed(_) | Event::NotReleased(_) | Event::Reachable => {
            report.log(Level::Warn, event);
        }
        _ => report.log(Level::Debug, format!("{event} ({})", event.code())),
    }
}
