//! What the lock's users do with it, and what happens to them.

use std::time::Duration;

use coord_core::BootInstant;
use coord_lease::engine::{Effect, Event as News, Input};

use super::{
    Flaw,
    check::Violation,
    event::{Event, GoWrite, Tag},
    game::{EventOf, Game, Stored as _, StoredOf},
    go::{Did, Foreign},
    network::{Fate, LONGEST, millis},
    node::Node,
    world::World,
};

impl<G: Game> World<G> {
    /// Handles an engine's event for the lock's user.
    pub(super) fn hear(
        &mut self,
        number: usize,
        life: u32,
        news: &EventOf<G>,
    ) -> Result<(), Violation> {
        let now = self.now;
        let node = &mut self.nodes[number];
        let id = node.id();
        let until = |deadline: Option<BootInstant>, node: &Node<G>| {
            deadline.map(|deadline| node.time_of(deadline))
        };
        match news {
            News::Acquired(token, deadline) => {
                node.served = true;
                let until =
                    until(*deadline, node).filter(|_| self.flaw != Some(Flaw::IgnoreExpiry));
                self.outcome.acquired += 1;
                // A contender that learns late of a write that was undone has its token, until it
                // learns of the undoing too.
                let token = G::token(token).filter(|it| self.objects.is_of_this_history(*it));
                self.check.acquired(&id, token, until, now)?;
                self.use_lock(number, life);
            }
            News::Renewed(deadline) => {
                let until =
                    until(*deadline, node).filter(|_| self.flaw != Some(Flaw::IgnoreExpiry));
                self.check.renewed(&id, until, now)?;
            }
            News::Lost(_) => {
                self.outcome.lost += 1;
                self.check.ended(&id);
                let after = millis(&mut self.random, 500);
                self.put(
                    after,
                    Event::Deliver {
                        node: number,
                        life,
                        tag: Tag::None,
                        input: Input::Release,
                    },
                );
            }
            News::Released | News::Failed(_) => {
                self.check.ended(&id);
                self.check.gone(&id);
            }
            News::NotReleased(_) => self.check.may_come_back(&id),
            News::Waiting(_)
            | News::NotRenewed(_)
            | News::NotWatched(_)
            | News::Unreachable(_)
            | News::Reachable
            | News::Notice(_) => {}
        }
        Ok(())
    }

    /// Works for a while, and then releases the lock, or dies.
    pub(super) fn use_lock(&mut self, node: usize, life: u32) {
        let longest = if self.faulty() {
            Duration::from_secs(12)
        } else {
            self.longest_hold
        };
        let after = longest.mul_f64(self.random.fraction());
        if self.faulty() && self.faults.strike(&mut self.random, 15) {
            self.put(after, Event::Crash(node, life));
        } else {
            self.put(
                after,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::None,
                    input: Input::Release,
                },
            );
        }
    }

    pub(super) fn crash(&mut self, number: usize, life: u32) {
        let node = &mut self.nodes[number];
        if node.life != life || node.engine.is_none() {
            return;
        }
        self.check.ended(&node.id());
        node.die();
        let after = millis(&mut self.random, 5000);
        self.put(after, Event::Begin(number));
    }

    pub(super) fn resume(&mut self, number: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[number];
        if node.paused_until.is_none_or(|until| until > self.now) {
            return Ok(());
        }
        node.paused_until = None;
        let life = node.life;
        for (tag, input) in std::mem::take(&mut node.inbox) {
            self.handle(number, life, tag, input)?;
        }
        Ok(())
    }

    pub(super) fn go(&mut self, number: usize, _: u64) {
        let Some(go) = self.goes.get_mut(number) else {
            return;
        };
        let (id, now) = (go.id(), self.now);
        if go.ends_work(now) {
            self.check.ended(&id);
        }
        let there = self.objects.get();
        if let Some(object) = go.next(there.as_ref(), now, &mut self.random) {
            let timeout = go.timeout();
            self.send_for_go(number, id, object, timeout);
        } else {
            let wait = go.wait(&mut self.random);
            self.put(wait, Event::GoStep(number, 0));
        }
    }

    fn send_for_go(
        &mut self,
        go: usize,
        id: String,
        object: StoredOf<G>,
        timeout: Option<Duration>,
    ) {
        let soon = Duration::from_millis(1) + millis(&mut self.random, 20);
        let (mut there, mut answered) = (Some(soon), true);
        if let Some(timeout) = timeout.filter(|_| self.faulty()) {
            let fate = Fate::ill(&mut self.random, &mut self.faults, false);
            there = fate.there.filter(|_| fate.refused.is_none());
            let is_in_time = |there| there <= timeout;
            let is_answered = |back| back <= LONGEST;
            answered = there.is_some_and(is_in_time) && fate.back.is_some_and(is_answered);
            if !answered {
                let failed = Event::GoAnswer(go, id.clone(), Err(Effect::Unknown));
                self.put(timeout, failed);
            }
        }
        let Some(there) = there else { return };
        let arrival = Event::GoArrives(GoWrite {
            go,
            id,
            object,
            restored: self.objects.restored(),
            answered,
        });
        self.put(there, arrival);
    }

    pub(super) fn serve_go(&mut self, write: GoWrite<G>) -> Result<(), Violation> {
        let (id, object) = (&*write.id, &write.object);
        let answer = if write.restored != self.objects.restored() {
            Err(Effect::Unknown)
        } else if object.uid().is_empty() {
            self.objects.create(object)
        } else {
            self.objects.update(object)
        };
        if let Ok(stored) = &answer {
            if G::Foreign::BY_ITS_CLOCK && G::holders(&G::read(stored.clone())).contains(id) {
                self.check.excuse(id);
            }
            self.written(id, None, stored)?;
        }
        if write.answered {
            let after = Duration::from_millis(1) + millis(&mut self.random, 20);
            self.put(after, Event::GoAnswer(write.go, write.id, answer));
        }
        Ok(())
    }

    pub(super) fn answer_go(
        &mut self,
        number: usize,
        id: &str,
        answer: Result<StoredOf<G>, Effect>,
    ) -> Result<(), Violation> {
        let now = self.now;
        let Some(go) = self.goes.get_mut(number) else {
            return Ok(());
        };
        let mut after = go.retry(&mut self.random);
        if go.id() == id {
            let did = match answer {
                Ok(object) => go.did(&object, now, &mut self.random),
                Err(_) => {
                    go.failed();
                    Did::Nothing
                }
            };
            match did {
                Did::Nothing => {}
                Did::Took { until, then } => {
                    if G::Foreign::BY_ITS_CLOCK {
                        self.check.taken_by_foreigner(id, until);
                    } else {
                        self.check.acquired(id, None, Some(until), now)?;
                    }
                    after = then;
                }
                Did::Ended => after = millis(&mut self.random, 5000),
            }
        }
        self.put(after, Event::GoStep(number, 0));
        Ok(())
    }
}
