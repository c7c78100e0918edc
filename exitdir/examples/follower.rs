//! The follower of the demo: ticks until the leader is done.

use std::time::Duration;

use coord_core::Errno;
use exitdir::Watcher;

fn main() -> Result<(), exitdir::Error> {
    let mut watcher = Watcher::from_env()?;
    let mut ticks = 0..;
    loop {
        match watcher.wait_timeout(Duration::from_secs(1)) {
            Err(error) if error.errno() == Errno::ETIMEDOUT => {
                println!("[Follower] Tick {}", ticks.next().unwrap_or(0));
            }
            ended => {
                println!("[Follower] Exiting...");
                return ended.map(drop);
            }
        }
    }
}
