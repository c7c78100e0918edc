//! A breadth-first search, so that the first history that breaks a promise is one of the shortest.

use std::{collections::HashSet, ops::Range, time::Instant};

use crate::{
    Report, Setup, Violation,
    action::Action,
    automaton::Automaton,
    fair::Fair,
    lock::Lock,
    print::{self, Prints},
    story::tell,
    world::World,
};

struct Search<'a, L: Lock> {
    setup: &'a Setup,
    automaton: Automaton<L>,
    fair: Fair,
    seen: HashSet<u64, Prints>,
    /// For each state, the state from which it was reached first, and how. The beginnings come
    /// first, and are reached from themselves. The states of a level follow in the order of the
    /// states they were reached from.
    reached: Vec<(u32, Action)>,
    beginnings: Vec<World>,
    /// The states on the way to the one that was visited last.
    way: Vec<(u32, World)>,
    begun: Instant,
    report: Report,
}

pub(crate) fn search<L: Lock>(setup: &Setup) -> Report {
    let mut automaton = Automaton::new(setup.kind, setup.flaw);
    let beginnings = automaton.beginnings().into_iter();
    let beginnings = beginnings.map(|object| World::new(setup, object));
    let mut search = Search::<L> {
        setup,
        beginnings: beginnings.collect(),
        automaton,
        fair: Fair::default(),
        seen: HashSet::default(),
        reached: Vec::new(),
        way: Vec::new(),
        begun: Instant::now(),
        report: Report::default(),
    };
    search.report.violation = search.run().err();
    search.report.states = search.reached.len();
    search.report.engine_states = search.automaton.len();
    search.report.took = search.begun.elapsed();
    search.report
}

impl<L: Lock> Search<'_, L> {
    fn run(&mut self) -> Result<(), Violation> {
        for (number, world) in (0..).zip(&self.beginnings) {
            self.seen.insert(print::of(world));
            self.reached.push((number, Action::Tick));
        }
        let mut level = 0..self.count();
        while self.report.depth < self.setup.depth {
            if !self.go_on_from(level.clone())? {
                return Ok(());
            }
            self.report.depth += 1;
            level = level.end..self.count();
            if level.is_empty() {
                self.report.is_all = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn count(&self) -> u32 {
        u32::try_from(self.reached.len()).unwrap_or(u32::MAX)
    }

    /// Visits all new states that can be reached from these. Returns whether there was enough time.
    fn go_on_from(&mut self, level: Range<u32>) -> Result<bool, Violation> {
        for number in level {
            let is_late = |limit| self.begun.elapsed() >= limit;
            if number.is_multiple_of(1024) && self.setup.limit.is_some_and(is_late) {
                return Ok(false);
            }
            let world = self.world(number);
            for action in world.actions(&self.automaton) {
                let mut reached = world.clone();
                self.report.transitions += 1;
                if let Err(what) = reached.happen(action, &mut self.automaton) {
                    return Err(self.violation(what, number, vec![action]));
                }
                let print = print::of(&reached);
                if self.seen.insert(print) {
                    self.reached.push((number, action));
                    if print.is_multiple_of(self.setup.served_of) {
                        self.check_that_all_are_served(reached, number, action)?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// The state with this number. It is replayed from the point where its way leaves the way to
    /// the last one; successive states differ little.
    fn world(&mut self, number: u32) -> World {
        let mut numbers = Vec::new();
        let mut at = number;
        let depth = loop {
            if let Some(depth) = self.way.iter().rposition(|(known, _)| *known == at) {
                break depth + 1;
            }
            numbers.push(at);
            let (before, _) = self.reached[at as usize];
            if before == at {
                break 0;
            }
            at = before;
        };
        self.way.truncate(depth);
        for number in numbers.into_iter().rev() {
            let world = match self.way.last() {
                None => self.beginnings[number as usize].clone(),
                Some((_, before)) => {
                    let mut world = before.clone();
                    // It succeeded the first time.
                    let _ = world.happen(self.reached[number as usize].1, &mut self.automaton);
                    world
                }
            };
            self.way.push((number, world));
        }
        let last = self.way.last();
        last.map_or_else(|| self.beginnings[0].clone(), |(_, world)| world.clone())
    }

    fn check_that_all_are_served(
        &mut self,
        world: World,
        from: u32,
        action: Action,
    ) -> Result<(), Violation> {
        self.report.served += 1;
        let served = self.fair.serve_all(world, &mut self.automaton);
        let Err((mut happened, what)) = served else {
            return Ok(());
        };
        happened.insert(0, action);
        Err(self.violation(what, from, happened))
    }

    /// A violation with the whole way to it.
    fn violation(&mut self, what: String, from: u32, last: Vec<Action>) -> Violation {
        let mut actions = last;
        let mut at = from;
        let first = loop {
            let (before, action) = self.reached[at as usize];
            if before == at {
                break at;
            }
            actions.insert(0, action);
            at = before;
        };
        let world = self.beginnings[first as usize].clone();
        let story = tell(world, &actions, &mut self.automaton);
        Violation { what, story }
    }
}
