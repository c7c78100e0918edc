//! The faults of a history, one by one, so that it can be replayed without some of them.

use std::{collections::BTreeSet, time::Duration};

use coord_lease::{Random, engine::Input};

use super::{
    event::{Event, Tag},
    game::Game,
    go::Foreign as _,
    network::{chance, millis},
    node::Node,
    outage::Outage,
    world::World,
};

/// The parts that are left out of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// These faults, by number.
    pub(super) faults: BTreeSet<u32>,
    /// All faults from this number on.
    pub(super) from: Option<u32>,
    /// This many of the contenders.
    pub(super) nodes: usize,
}

/// The faults so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    left_out: LeftOut,
    count: u32,
}

impl Faults {
    pub(super) fn without(left_out: &LeftOut) -> Self {
        Self {
            left_out: left_out.clone(),
            count: 0,
        }
    }

    /// Whether the next fault happens.
    pub(super) fn happens(&mut self) -> bool {
        let this = self.count;
        self.count += 1;
        let is_beyond = self.left_out.from.is_some_and(|from| this >= from);
        !is_beyond && !self.left_out.faults.contains(&this)
    }

    /// Whether a fault happens, with this probability.
    pub(super) fn strike(&mut self, random: &mut Random, percent: u64) -> bool {
        chance(random, percent) && self.happens()
    }

    /// The number of faults, including those left out.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

impl<G: Game> World<G> {
    /// Causes one fault somewhere.
    pub(super) fn inject_fault(&mut self) {
        if !self.faulty() {
            return self.recover();
        }
        let (which, next) = (self.random.number(), millis(&mut self.random, 4000));
        // A fault has random numbers of its own, so leaving it out does not change the others.
        let mut random = Random::new(self.random.number());
        if self.faults.happens() {
            self.go_wrong(which, &mut random);
        }
        self.put(next, Event::Fault);
    }

    fn go_wrong(&mut self, which: u64, random: &mut Random) {
        let number = usize::try_from(random.number() % self.nodes.len() as u64).unwrap_or(0);
        let for_long = millis(random, 15_000);
        let until = (self.now + for_long).min(self.faults_end);
        let id = self.nodes[number].id();
        match which % 13 {
            0 | 1 => {
                self.tell(|| format!("{id} stops for {for_long:?}"));
                self.nodes[number].paused_until = Some(until);
                self.put(for_long, Event::Resume(number));
            }
            2 | 3 => {
                self.tell(|| format!("{id} is cut off for {for_long:?}"));
                self.nodes[number].cut_off_until = until;
            }
            4 => {
                self.tell(|| format!("{id} dies"));
                self.crash(number, self.nodes[number].life);
            }
            5 => {
                self.tell(|| "a server's clock is set".to_owned());
                self.clocks.step(random);
            }
            6 => {
                self.tell(|| format!("what {id} runs on is replaced"));
                self.replace(number);
            }
            7 if !self.goes.is_empty() => {
                self.tell(|| "the other program dies".to_owned());
                self.goes[0].die();
            }
            8 | 9 => {
                let outage = Outage::any(random);
                self.tell(|| format!("for {for_long:?}: {:?}: {:?}", outage.of, outage.how));
                self.outage = Some((outage, self.now..until));
            }
            10 => {
                self.tell(|| format!("{id} may do nothing for {for_long:?}"));
                self.nodes[number].refused_until = until;
            }
            11 if chance(random, 30) => self.restore(random),
            _ => {}
        }
    }

    /// Replaces what the node runs on, with everything that ran on it.
    fn replace(&mut self, number: usize) {
        let life = self.nodes[number].life;
        self.crash(number, life);
        if self.nodes[number].engine.is_none() {
            self.game.replace(number);
            self.tell_subjects();
        }
    }

    /// Restores the store to an earlier state. All connections are cut, and everything in flight is
    /// lost.
    fn restore(&mut self, random: &mut Random) {
        let Some(stored) = self.objects.restore(random) else {
            return;
        };
        self.tell(|| match &stored {
            Some(stored) => format!("the store is put back to {stored:?}"),
            None => "the store is put back to when there was no lock".to_owned(),
        });
        let object = stored.map(G::read);
        let holders = object.as_ref().map(G::holders).unwrap_or_default();
        let reservation = object.as_ref().and_then(G::reservation);
        let living = self.nodes.iter().map(Node::id);
        self.check
            .restored(living, holders, reservation.map(|(by, _)| by));
        for go in &mut self.goes {
            go.die();
        }
        for watching in std::mem::take(&mut self.watches) {
            let node = watching.node;
            let end = Event::Deliver {
                node,
                life: self.nodes[node].life,
                tag: Tag::Watch(watching.number),
                input: Input::WatchEnded(None),
            };
            self.put(millis(random, 1000), end);
        }
    }

    /// Faults have stopped. A paused contender continues after its pause; the foreign writers are
    /// gone.
    fn recover(&mut self) {
        for node in &mut self.nodes {
            node.served = false;
            node.cut_off_until = Duration::ZERO;
            node.refused_until = Duration::ZERO;
        }
        self.outage = None;
        self.goes.clear();
    }
}
