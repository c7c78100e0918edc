//! What the store does, and the way there and back.

use std::time::Duration;

use coord_core::Errno;
use coord_lease::{Change, Version, engine::Write};
use lockheed::{
    Record,
    store::{Object, RECORD, StoreError, StoreErrorKind},
};

use super::{
    Flaw,
    check::Violation,
    network::{Fate, WatchFate, millis},
    node::Input,
    world::{Event, Request, Tag, Watching, World},
};

impl World {
    pub(super) fn send(&mut self, number: usize, life: u32, request: Request) {
        self.outcome.requests += 1;
        self.writes += u64::from(!matches!(request, Request::Read));
        let cut_off = self.nodes[number].cut_off_until > self.now;
        let fate = if self.faulty() {
            Fate::ill(&mut self.random, cut_off)
        } else {
            Fate::well(&mut self.random)
        };
        let node = &mut self.nodes[number];
        node.request += 1;
        let (sent, timeout) = (node.request, node.timeout);
        let late = match request {
            Request::Read => Input::Read(Err(silent(StoreErrorKind::Unavailable)), None),
            Request::Write(_) => Input::Written(Err(silent(StoreErrorKind::Unknown)), None),
        };
        self.put(
            timeout,
            Event::Deliver {
                node: number,
                life,
                tag: Tag::Request(sent),
                input: late,
            },
        );
        if let Some(there) = fate.there {
            self.put(
                there,
                Event::Arrive {
                    node: number,
                    life,
                    number: sent,
                    request,
                    fate,
                },
            );
        }
    }

    /// At the server.
    pub(super) fn serve(
        &mut self,
        number: usize,
        life: u32,
        sent: u64,
        request: Request,
        fate: Fate,
    ) -> Result<(), Violation> {
        let writer = format!("node{number}-{life}");
        let unversioned = self.flaw == Some(Flaw::SkipVersion);
        let refused = || {
            StoreError::new(
                StoreErrorKind::Unavailable,
                Errno::EAGAIN,
                "too many requests",
            )
        };
        let input = match request {
            Request::Read if fate.refused => Input::Read(Err(refused()), None),
            Request::Write(_) if fate.refused => Input::Written(Err(refused()), None),
            Request::Read => {
                let now = self.clocks.now(number, self.now);
                Input::Read(Ok(self.objects.get(&self.name)), Some(now.since_unix()))
            }
            Request::Write(Write::Update(object)) if unversioned => {
                Input::Written(Ok(Some(self.objects.overwrite(&object))), None)
            }
            Request::Write(Write::Update(object)) => {
                Input::Written(self.objects.update(&object).map(Some), None)
            }
            Request::Write(Write::Create(object)) => {
                Input::Written(self.objects.create(&object).map(Some), None)
            }
            Request::Write(Write::Delete(object)) => {
                Input::Written(self.objects.delete(&object).map(|_| None), None)
            }
        };
        if let Input::Written(Ok(Some(object)), _) = &input {
            self.written(&writer, &object.clone())?;
        }
        if let Some(back) = fate.back {
            self.put(
                back,
                Event::Deliver {
                    node: number,
                    life,
                    tag: Tag::Request(sent),
                    input,
                },
            );
        }
        Ok(())
    }

    /// Something was written: it is checked, and told to whoever watches.
    pub(super) fn written(&mut self, writer: &str, object: &Object) -> Result<(), Violation> {
        if self.traced {
            let text = object.data.get(RECORD).map_or("", String::as_str);
            self.outcome.trace.push(format!(
                "{:?} {writer} wrote version {}: {text} {:?}",
                self.now, object.version, object.annotations
            ));
        }
        let clock = self.clocks.now(0, self.now);
        let free = self.check.written(writer, object, self.now, clock)?;
        self.note_hand_off(free);
        self.broadcast(&Change::Written(object.clone()));
        Ok(())
    }

    pub(super) fn broadcast(&mut self, change: &Change<Object>) {
        let mut told = Vec::new();
        for watching in &mut self.watches {
            if self.nodes[watching.node].watch != watching.number || watching.fate.silent {
                continue;
            }
            let delay = Duration::from_millis(1) + millis(&mut self.random, 15);
            watching.last = watching.last.max(self.now + delay);
            told.push((watching.node, watching.number, watching.last - self.now));
        }
        for (node, number, after) in told {
            let life = self.nodes[node].life;
            let input = changed(change.clone());
            self.put(
                after,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::Watch(number),
                    input,
                },
            );
        }
    }

    pub(super) fn watch(&mut self, node: usize, life: u32, number: u64, since: Option<&Version>) {
        if self.nodes[node].watch != number {
            return;
        }
        let fate = if self.faulty() {
            WatchFate::ill(&mut self.random)
        } else {
            WatchFate::well()
        };
        self.watches.retain(|watching| watching.node != node);
        let delay = Duration::from_millis(1);
        if let Some(change) = self.objects.since(&self.name, since) {
            let input = changed(change);
            self.put(
                delay,
                Event::Deliver {
                    node,
                    life,
                    tag: Tag::Watch(number),
                    input,
                },
            );
        }
        let last = self.now + delay;
        self.watches.push(Watching {
            node,
            number,
            last,
            fate,
        });
        let ended = Input::WatchEnded(None);
        self.put(
            fate.ends_after + delay * 2,
            Event::Deliver {
                node,
                life,
                tag: Tag::Watch(number),
                input: ended,
            },
        );
    }

    /// Somebody removes locks that nobody holds.
    pub(super) fn tidy(&mut self) {
        if let Some(object) = self.objects.get(&self.name) {
            let free = Record::from_json(&object.data[RECORD])
                .is_ok_and(|record| record.leases.is_empty());
            if free && let Ok(version) = self.objects.delete(&object) {
                self.check.deleted();
                self.broadcast(&Change::Deleted(version));
            }
        }
        let after = millis(&mut self.random, 20_000);
        self.put(after, Event::Tidy);
    }
}

fn changed(change: Change<Object>) -> Input {
    match change {
        Change::Written(object) => Input::Changed(object),
        Change::Deleted(version) => Input::Deleted(version),
    }
}

/// No answer came in time.
fn silent(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, Errno::ETIMEDOUT, "the store did not answer in time")
}
