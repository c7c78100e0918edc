//! A leader and its followers, in a directory of their own.

use std::fs;

use crate::world::World;

/// The statuses that a follower may have: it was told; the leader is dead; it or its command could
/// not be started, or was killed.
const FOLLOWERS: [i32; 7] = [0, 122, 125, 126, 127, 137, 143];

pub(crate) fn round(world: &World, random: &mut fastrand::Rng) -> bool {
    let directory = world.disk.join(format!("exit-{}", world.next()));
    if fs::create_dir(&directory).is_err() {
        world.count("exitdir: no directory");
        return false;
    }
    let start = |arguments: &[&str], seconds: &str| {
        let mut command = world.tool("exitdir");
        command.args(arguments).arg("--dir").arg(&directory);
        world.start("exitdir", command.args(["--", "sleep", seconds]))
    };
    let work = format!("{:.2}", random.f32() * 3.0);
    let leader = start(&["lead", "--grace", "1s"], &work);
    let follow = ["follow", "--grace", "1s", "--leader-by", "5s"];
    let followers: Vec<_> = (0..3)
        .filter_map(|_| start(&follow, "100000").ok())
        .collect();
    let leader = leader.ok().and_then(|mut leader| leader.wait());
    world.count(&format!("exitdir lead: status {}", leader.unwrap_or(-1)));
    let mut all_are_served = leader == Some(0) && followers.len() == 3;
    for mut follower in followers {
        // If it does not end after the faults, that is a violation.
        let status = follower.wait().unwrap_or(-1);
        world.count(&format!("exitdir follow: status {status}"));
        if !FOLLOWERS.contains(&status) && status != -1 {
            world.violation(&format!("exitdir follow ended with status {status}"));
        }
        all_are_served &= status == 0;
    }
    let left: Vec<_> = fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    if left.iter().any(|entry| entry.file_name() != "exitFile") {
        world.violation(&format!("exitdir left {left:?}"));
    }
    let _ = fs::remove_dir_all(&directory);
    all_are_served
}
