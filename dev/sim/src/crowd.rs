//! Many contenders and no faults, to measure what a hand-off costs.

use std::time::Duration;

use super::{
    Kind,
    check::{Violation, violated},
    faults::LeftOut,
    game::Game,
    node::Node,
    world::World,
};

impl<G: Game> World<G> {
    /// A world with this many contenders and no faults, in which each wants the lock again and
    /// again.
    pub(super) fn crowd(kind: Kind, contenders: usize, seed: u64) -> Self {
        let mut world = Self::new(kind, seed, None, false, &LeftOut::default());
        world.faults_end = Duration::ZERO;
        world.eager = true;
        world.longest_hold = Duration::from_millis(60);
        world.goes.clear();
        let node = |number| {
            let mut node = Node::new(number, &mut world.random);
            node.length = Duration::from_secs(600);
            node.timeout = Duration::from_secs(10);
            node
        };
        world.nodes = (0..contenders).map(node).collect();
        world
    }

    /// Runs until the lock has been handed over this often.
    pub(super) fn play_hand_offs(&mut self, count: usize) -> Result<(), Violation> {
        self.begin_all(Duration::ZERO);
        while self.step()?.is_some() {
            if self.hand_offs.len() >= count {
                return Ok(());
            }
        }
        violated(self.now, "nothing happens any more".to_owned())
    }

    /// Records when the lock became free, for how long, and whether another node holds it then.
    pub(super) fn note_hand_off(&mut self, holder: Option<&str>) {
        let Some(holder) = holder else {
            self.freed_at = Some(self.now);
            return;
        };
        if let Some(freed) = self.freed_at.take() {
            self.hand_offs.push(self.now - freed);
            let node = holder.split('-').next().unwrap_or_default();
            self.handed_on += usize::from(self.last_holder != node);
            node.clone_into(&mut self.last_holder);
        }
    }
}
