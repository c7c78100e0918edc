//! The text format of Prometheus, version 0.0.4.

use super::Counts;

/// Name, type, help, and value.
type Metric = (&'static str, &'static str, &'static str, String);

/// All of them, with these labels.
pub(super) fn text(counts: &Counts, is_held: bool, labels: &str) -> String {
    let lines = |(name, kind, help, value): Metric| {
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n")
    };
    metrics(counts, is_held).into_iter().map(lines).collect()
}

fn metrics(counts: &Counts, is_held: bool) -> [Metric; 7] {
    let gauge = |name, help, value: u8| (name, "gauge", help, value.to_string());
    let counter = |name, help, value: String| (name, "counter", help, value);
    [
        gauge("lockheed_held", "Whether the lock is held.", is_held.into()),
        counter(
            "lockheed_wait_seconds_total",
            "Time that was waited for the lock.",
            counts.wait_seconds.to_string(),
        ),
        counter(
            "lockheed_hold_seconds_total",
            "Time for which the lock was held.",
            counts.hold_seconds.to_string(),
        ),
        counter(
            "lockheed_acquisitions_total",
            "How often the lock was acquired.",
            counts.acquisitions.to_string(),
        ),
        counter(
            "lockheed_renewals_total",
            "How often the lease was renewed.",
            counts.renewals.to_string(),
        ),
        counter(
            "lockheed_renewal_failures_total",
            "How often a renewal of the lease failed.",
            counts.failed_renewals.to_string(),
        ),
        counter(
            "lockheed_losses_total",
            "How often the lock was lost.",
            counts.losses.to_string(),
        ),
    ]
}

/// In braces, with what is special in values escaped.
pub(super) fn labels(labels: &[(&str, &str)]) -> String {
    let label = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{}\"", value.replace('\n', "\\n"))
    };
    let labels: Vec<_> = labels.iter().map(label).collect();
    format!("{{{}}}", labels.join(","))
}
