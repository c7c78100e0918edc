//! Contenders for one lock in a directory. One holds it at a time, and when a holder dies its lock
//! is free at once.

use std::{fs, time::Instant};

use super::stage::{Stage, eventually, remark, since, title};
use crate::Result;

pub(super) fn show(stage: &mut Stage) -> Result {
    title("lockheed: run something at most once at a time");
    stage.export("LOCKHEED_STORE", "dir:locks");
    let work = |name: &str| {
        format!("echo {name} has token $LOCKHEED_TOKEN; sleep 0.5; echo {name} is done")
    };
    let contender =
        |name: &str| stage.start(&format!("lockheed run deploy -- sh -c '{}'", work(name)));
    let contenders: Result<Vec<_>> = ["one", "two", "three"].into_iter().map(contender).collect();
    contenders?.into_iter().try_for_each(|it| it.ends(0))?;

    let holder =
        stage.start("lockheed run deploy --id main -- sh -c 'touch begun; sleep infinity'")?;
    let begun = stage.directory().join("begun");
    eventually("the holder has begun", || {
        fs::exists(&begun).is_ok_and(|it| it)
    })?;
    stage.run("lockheed list", 0)?;
    stage.run(&format!("kill -KILL {}    # the holder", holder.pid()), 0)?;
    let killed = Instant::now();
    stage.run("lockheed run deploy -- echo the next one has the lock", 0)?;
    remark(&format!(
        "the next one was done {} later, and nothing that the holder had started runs on",
        since(killed)
    ));
    stage.run("lockheed delete deploy", 0)
}
