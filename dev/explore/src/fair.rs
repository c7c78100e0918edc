//! When nothing fails any more, everybody must be served.

use std::collections::HashMap;

use crate::{
    action::Action,
    automaton::Automaton,
    lock::{LIVES, Lock},
    print::{self, Prints},
    world::{Stage, World},
};

/// The limit in seconds: a dead holder's lease, the longest pause after a refusal, and a margin. An
/// expiry may be later by the travel time of the answer from which its writer knows the server's
/// clock.
const SERVED_WITHIN: u32 = 60;

/// More steps than any such history has.
const MOST_STEPS: usize = 5000;

/// For the states from which this is known, when all are served: there is one way on from each.
#[derive(Default)]
pub(crate) struct Fair {
    served_at: HashMap<u64, u32, Prints>,
}

impl Fair {
    /// From here on everything in flight arrives, everybody wakes in time, and holders release the
    /// lock. Returns what happened, with what is wrong with it.
    pub(crate) fn serve_all<L: Lock>(
        &mut self,
        mut world: World,
        automaton: &mut Automaton<L>,
    ) -> Result<(), (Vec<Action>, String)> {
        world.faults = 0;
        world.lives = LIVES;
        let longest_answer = world.now;
        let latest = world.now + longest_answer + SERVED_WITHIN;
        let (mut happened, mut passed) = (Vec::new(), Vec::new());
        let served_at = loop {
            let is_served = |left: &Stage| *left == Stage::Left;
            if world
                .contenders
                .iter()
                .all(|contender| is_served(&contender.stage))
            {
                break world.now;
            }
            let print = print::of(&world);
            if let Some(served_at) = self.served_at.get(&print) {
                break *served_at;
            }
            passed.push(print);
            let next = next(&world, automaton).filter(|_| world.now <= latest);
            let Some(next) = next.filter(|_| happened.len() < MOST_STEPS) else {
                return Err((happened, starving(&world)));
            };
            happened.push(next);
            if let Err(what) = world.happen(next, automaton) {
                return Err((happened, what));
            }
        };
        if served_at > latest {
            return Err((happened, format!("all are served only at {served_at} s")));
        }
        self.served_at
            .extend(passed.into_iter().map(|print| (print, served_at)));
        Ok(())
    }
}

/// Whatever is in flight comes first; time moves on when there is nothing else.
fn next<L: Lock>(world: &World, automaton: &Automaton<L>) -> Option<Action> {
    let order = |action: &Action| match action {
        Action::ServeLate(_) => 0,
        Action::Tick => 2,
        _ => 1,
    };
    world.actions(automaton).into_iter().min_by_key(order)
}

fn starving(world: &World) -> String {
    let wanting = (0..).zip(&world.contenders);
    let wanting = wanting.filter(|(_, contender)| contender.stage != Stage::Left);
    let wanting: Vec<_> = wanting
        .map(|(number, _)| world.id(number).to_string())
        .collect();
    format!(
        "not served long after the last fault: {}",
        wanting.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Setup, lock::OfLockheed};

    #[test]
    fn who_is_kept_from_the_lock_is_not_served() {
        let setup = Setup::new(Kind::Mutex, 2, 0);
        let mut automaton = Automaton::<OfLockheed>::new(Kind::Mutex, None);
        let mut world = World::new(&setup, None);
        let served = Fair::default().serve_all(world.clone(), &mut automaton);
        assert_eq!(served, Ok(()));
        // It cannot start again.
        world.contenders[1].life = LIVES;
        let served = Fair::default().serve_all(world, &mut automaton);
        let (happened, what) = served.unwrap_err();
        assert!(!happened.is_empty());
        assert!(
            what.contains("not served") && what.ends_with("b8"),
            "{what}"
        );
    }
}
