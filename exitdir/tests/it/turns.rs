//! Three leaders that begin at once, and take turns.

use nix::libc;
use testkit::Random;

use crate::{
    eventually, run,
    strangers::exclusive_lock,
    traced::{LEADER, Traced, attributes, directory},
};

/// The calls with which leaders keep each other out, those with which a leader removes what it no
/// longer needs, and the one with which it hands its descriptors to its guard process.
const STOPS: [libc::c_long; 6] = [
    libc::SYS_flock,
    libc::SYS_fgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_sendmsg,
];

/// How many of them only look, or are tried again and again.
const LOOKS: usize = 2;

/// At most one leads. One does if none is killed, unless one without a file of its own begins
/// beside a lock: a process that is no leader may have locked the directory, at first or all the
/// time. `TEST_SEED` repeats the turns, and `TEST_ROUNDS` plays more.
// Holds exitdir-10.
#[test]
fn of_three_leaders_at_most_one_leads_whatever_their_turns() {
    let mut random = Random::seeded();
    let rounds = std::env::var("TEST_ROUNDS").map_or(60, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let dir = directory(random.is_one_in(2));
        let files = [(); 3].map(|()| !random.is_one_in(4));
        let mut lock = random.is_one_in(2).then(|| exclusive_lock(dir.path()));
        let (mut is_locked, mut killed) = (lock.is_some(), 0);
        let mut turns = Vec::from(files.map(|has_file| Traced::start(dir.path(), has_file)));
        let mut leaders: Vec<Traced> = Vec::new();
        while !turns.is_empty() {
            let next = usize::try_from(random.below(turns.len().try_into().unwrap())).unwrap();
            let is_decided = match random.below(30) {
                0 => {
                    turns.swap_remove(next);
                    killed += 1;
                    continue;
                }
                1 => {
                    lock = None;
                    false
                }
                2 => true,
                number => {
                    let stops = &STOPS[if number < 15 { 0 } else { LOOKS }..];
                    matches!(turns[next].next_call(stops), None | Some(libc::SYS_sendmsg))
                }
            };
            if is_decided {
                let mut contender = turns.swap_remove(next);
                leaders.extend(contender.leads().then_some(contender));
            }
        }
        let at = format!("round {round}: {files:?}, locked: {is_locked}, killed: {killed}");
        assert!(leaders.len() <= 1, "{at}");
        is_locked &= files.contains(&false);
        assert!(leaders.len() == 1 || killed > 0 || is_locked, "{at}");
        drop((leaders, lock));
        // The guard process of one that was killed may have its descriptors for a moment.
        eventually(&at, || {
            run(dir.path(), &["lead", "--clear", "--", "true"]).0 == Some(0)
        });
        assert_eq!(attributes(dir.path()), [LEADER], "{at}");
    }
}
