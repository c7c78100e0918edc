//! Runs a command under the supervisor. What the tests run; `supervise [--grace MS] [--deadline MS] [--end MS] [--orphans W] CMD...`.

use std::{env, process::ExitCode, thread, time::Duration};

use coord_core::{
    Status,
    supervise::{Error, Guard, Orphans, Plan, Reason, boottime},
};

fn main() -> ExitCode {
    let status = run().unwrap_or_else(|error| {
        eprintln!("supervise: {error}");
        error.status()
    });
    status.into()
}

fn run() -> Result<Status, Error> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let mut option = |name: &str| {
        let at = arguments
            .iter()
            .take(8)
            .position(|argument| argument == name)?;
        let value = arguments.remove(at + 1);
        arguments.remove(at);
        Some(value)
    };
    let mut millis = |name| Some(Duration::from_millis(option(name)?.parse().ok()?));
    let (grace, deadline, end) = (millis("--grace"), millis("--deadline"), millis("--end"));
    let orphans = match option("--orphans").as_deref() {
        Some("wait") => Orphans::Wait,
        Some("leave") => Orphans::Leave,
        _ => Orphans::End,
    };
    let plan = Plan::new(arguments)
        .grace(grace.unwrap_or(Duration::from_secs(5)))
        .orphans(orphans);
    let guard = Guard::start(plan)?;
    let running = guard.spawn([("SUPERVISED", "yes")])?;
    let ender = running.ender();
    if let Some(deadline) = deadline {
        ender.set_deadline(Some(boottime() + deadline))?;
    }
    if let Some(end) = end {
        thread::spawn(move || {
            thread::sleep(end);
            ender.end(Reason::new("it was time", Status::LOST));
        });
    }
    Ok(running.wait()?.status())
}
