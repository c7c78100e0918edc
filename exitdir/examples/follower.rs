//! The follower of the demo: ticks until the leader is done.

use std::time::Duration;

use coord_core::{Errno, HasErrno};
use exitdir::Watcher;

fn main() -> Result<(), exitdir::Error> {
    let watcher = Watcher::from_env();
    for tick in 0.. {
        println!("[Follower] Tick {tick}");
        match watcher.wait_timeout(Duration::from_secs(1)) {
            Err(error) if error.errno() == Errno::ETIMEDOUT => {}
            ended => {
                println!("[Follower] Exiting...");
                return ended.map(drop);
            }
        }
    }
    Ok(())
}
