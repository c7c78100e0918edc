//! The store, and the way there and back.

use std::{iter, time::Duration};

use coord_lease::{
    Change, Version,
    engine::{Effect, Input, Write},
};

use super::{
    Flaw,
    check::Violation,
    event::{Event, Request, Tag},
    game::{Game, InputOf, ObjectOf, Stored as _, StoredOf, SubjectOf},
    network::{Fate, WatchFate, millis},
    objects::is_new,
    outage::{Asked, denied},
    world::{Watching, World},
};

impl<G: Game> World<G> {
    pub(super) fn send(&mut self, number: usize, life: u32, request: Request<G>) {
        self.outcome.requests += 1;
        self.writes += u64::from(matches!(request, Request::Write(_)));
        let cut_off = self.nodes[number].cut_off_until > self.now;
        let fate = if self.faulty() {
            Fate::ill(&mut self.random, &mut self.faults, cut_off)
        } else {
            Fate::well(&mut self.random)
        };
        let mut fate = self.spoil(&request, fate);
        if self.nodes[number].refused_until > self.now {
            fate.refused = Some(Effect::Final);
        }
        self.count_request(number);
        self.tell_fate(number, &request, &fate);
        let node = &mut self.nodes[number];
        node.request += 1;
        let (sent, timeout) = (node.request, node.timeout);
        let effect = match request {
            Request::Read | Request::Subject(_) => Effect::None,
            Request::Write(_) => Effect::Unknown,
        };
        let late = refusal::<G>(&request, effect);
        self.put(
            timeout,
            Event::Deliver {
                node: number,
                life,
                tag: Tag::Request(sent),
                input: late,
            },
        );
        let Some(there) = fate.there else { return };
        let doubled = Fate {
            doubled: true,
            ..fate
        };
        let again = fate
            .again
            .map(|again| (there + again, request.clone(), doubled));
        for (after, request, fate) in iter::once((there, request, fate)).chain(again) {
            let arrival = Event::Arrive {
                node: number,
                life,
                number: sent,
                request,
                fate,
                restored: self.objects.restored(),
            };
            self.put(after, arrival);
        }
    }

    /// Builds what a node sends.
    pub(super) fn stored(&self, node: usize, write: Write<ObjectOf<G>>) -> Write<StoredOf<G>> {
        let clock = self.clocks.now(node, self.now);
        match write {
            Write::Create(object) => Write::Create(G::write(object, clock)),
            Write::Update(object) => Write::Update(G::write(object, clock)),
            Write::Delete(object) => Write::Delete(G::write(object, clock)),
        }
    }

    /// Traces the faults of a request.
    fn tell_fate(&mut self, number: usize, request: &Request<G>, fate: &Fate) {
        if self.traced {
            let (id, fate) = (self.nodes[number].id(), fate.to_string());
            let what = match request {
                Request::Read => "read",
                Request::Subject(_) => "read of what else must be known",
                Request::Write(_) => "write",
            };
            if !fate.is_empty() {
                self.tell(|| format!("{id}'s {what} {fate}"));
            }
        }
    }

    /// Handles a request at the server.
    pub(super) fn serve(
        &mut self,
        number: usize,
        life: u32,
        sent: u64,
        request: Request<G>,
        fate: Fate,
    ) -> Result<(), Violation> {
        let writer = format!("node{number}-{life}");
        let clock = Some(self.clocks.now(number, self.now).since_unix());
        // Its sender knows the result of the first one, and does not know of the second.
        if fate.doubled {
            self.check.is_taken(&writer, sent);
        }
        let input: InputOf<G> = match request {
            request if let Some(effect) = fate.refused => refusal::<G>(&request, effect),
            Request::Read => Input::Read(Ok(self.objects.get().map(G::read)), clock),
            Request::Subject(subject) => {
                let id = format!("node{number}-{life}");
                Input::SubjectRead(Ok(self.game.fact(number, &id, &subject)), clock)
            }
            Request::Write(write) => {
                let done = self.write(write);
                if let Ok(Some(stored)) = &done {
                    self.written(&writer, Some(sent), stored)?;
                }
                let object = done.map(|stored| stored.map(G::read));
                Input::Written(object.map_err(G::refused), clock)
            }
        };
        let is_taken = match &input {
            Input::Read(Ok(object), _) | Input::Written(Ok(object), _) => object.is_some(),
            Input::Written(Err(_), _) => fate.refused.is_none() && self.objects.get().is_some(),
            _ => false,
        };
        if is_taken {
            self.check.is_taken(&writer, sent);
        }
        let input = denied::<G>(input, fate.denied_after);
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

    /// Does what the store does with a write, and reports a deletion.
    fn write(&mut self, write: Write<StoredOf<G>>) -> Result<Option<StoredOf<G>>, Effect> {
        let unversioned = self.flaw == Some(Flaw::SkipVersion);
        match write {
            Write::Create(object) => self.objects.create(&object).map(Some),
            Write::Update(object) if unversioned => Ok(Some(self.objects.overwrite(&object))),
            Write::Update(object) => self.objects.update(&object).map(Some),
            Write::Delete(object) => {
                let version = if unversioned {
                    self.objects.remove()
                } else {
                    self.objects.delete(&object)?
                };
                self.deleted(&version);
                Ok(None)
            }
        }
    }

    /// Something was written, by this request if it was one of a node: checks it, and reports it to
    /// the watches.
    pub(super) fn written(
        &mut self,
        writer: &str,
        sent: Option<u64>,
        stored: &StoredOf<G>,
    ) -> Result<(), Violation> {
        self.tell(|| {
            let (version, text) = (stored.version(), stored.text());
            format!("{writer} wrote version {version}: {text}")
        });
        let clock = self.clocks.now(0, self.now);
        let object = G::read(stored.clone());
        let holders = G::holders(&object);
        self.note_hand_off(G::holder(&object).as_deref());
        let reservation = G::reservation(&object);
        let now = (self.now, clock);
        self.check.written(
            writer,
            holders,
            sent.filter(|_| is_new(stored)),
            reservation,
            now,
        )?;
        self.broadcast(&stored.version(), &Change::Written(object));
        Ok(())
    }

    /// Reports a change to the watches; it made this version.
    fn broadcast(&mut self, version: &Version, change: &Change<ObjectOf<G>>) {
        let mut told = Vec::new();
        for watching in &mut self.watches {
            if self.nodes[watching.node].watch != watching.number || watching.fate.silent {
                continue;
            }
            let is_before = |since: &Version| !since.is_before(version);
            if watching.since.as_ref().is_some_and(is_before) {
                continue;
            }
            let delay = Duration::from_millis(1) + millis(&mut self.random, 15);
            let delay = delay + watching.fate.lag;
            watching.last = watching.last.max(self.now + delay);
            told.push((watching.node, watching.number, watching.last - self.now));
        }
        for (node, number, after) in told {
            let life = self.nodes[node].life;
            let input = changed::<G>(change.clone());
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
        let fate = self.fate_of_watch(node, Asked::Watch);
        self.count_request(node);
        self.watches.retain(|watching| watching.node != node);
        let delay = Duration::from_millis(1) + fate.lag;
        if let Some(change) = self.objects.since(since) {
            let change = match change {
                Change::Written(stored) => Change::Written(G::read(stored)),
                Change::Deleted(version) => Change::Deleted(version),
            };
            let input = changed::<G>(change);
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
            since: since.cloned(),
            last,
            fate,
        });
        let ended = Input::WatchEnded(fate.error.map(G::refused));
        self.put(
            fate.ends_after + Duration::from_millis(2),
            Event::Deliver {
                node,
                life,
                tag: Tag::Watch(number),
                input: ended,
            },
        );
    }

    fn fate_of_watch(&mut self, node: usize, asked: Asked) -> WatchFate {
        let fate = if self.faulty() {
            WatchFate::ill(&mut self.random, &mut self.faults)
        } else {
            WatchFate::well()
        };
        let mut fate = self.spoil_watch(asked, fate);
        if self.nodes[node].refused_until > self.now {
            (fate.ends_after, fate.error) = (Duration::ZERO, Some(Effect::Final));
        }
        if fate.silent || fate.lag > Duration::ZERO {
            let (id, lag) = (self.nodes[node].id(), fate.lag);
            self.tell(|| match fate.silent {
                true => format!("{id}'s watch tells nothing"),
                false => format!("{id}'s watch is {lag:?} behind"),
            });
        }
        fate
    }

    /// Something was deleted.
    fn deleted(&mut self, version: &Version) {
        self.check.deleted();
        self.note_hand_off(None);
        self.broadcast(version, &Change::Deleted(version.clone()));
    }

    /// Removes an object that nobody needs.
    pub(super) fn tidy(&mut self) {
        if let Some(stored) = self.objects.get()
            && self.game.is_rubbish(&G::read(stored.clone()))
            && let Ok(version) = self.objects.delete(&stored)
        {
            self.deleted(&version);
        }
        let after = millis(&mut self.random, 20_000);
        self.put(after, Event::Tidy);
    }

    /// A watch of the subject starts; its reports may be late.
    pub(super) fn watch_subject(&mut self, node: usize, life: u32, subject: SubjectOf<G>) {
        let fate = self.fate_of_watch(node, Asked::SubjectWatch);
        self.count_request(node);
        self.nodes[node].subject_watch += 1;
        let tag = Tag::SubjectWatch(self.nodes[node].subject_watch);
        self.nodes[node].subject = (!fate.silent).then_some(subject);
        self.nodes[node].subject_lag = fate.lag;
        let input = Input::SubjectWatchEnded(fate.error.map(G::refused));
        let end = Event::Deliver {
            node,
            life,
            tag,
            input,
        };
        self.put(fate.ends_after + Duration::from_millis(2), end);
    }

    /// Reports to the subject's watchers what is known of it now.
    pub(super) fn tell_subjects(&mut self) {
        for node in 0..self.nodes.len() {
            let Some(subject) = self.nodes[node].subject.clone() else {
                continue;
            };
            let (life, id) = (self.nodes[node].life, self.nodes[node].id());
            let input = Input::SubjectChanged(self.game.fact(node, &id, &subject));
            let tag = Tag::SubjectWatch(self.nodes[node].subject_watch);
            let told = Event::Deliver {
                node,
                life,
                tag,
                input,
            };
            let after = Duration::from_millis(1) + millis(&mut self.random, 15);
            let after = after + self.nodes[node].subject_lag;
            self.put(after, told);
        }
    }
}

/// The answer to a request that failed.
fn refusal<G: Game>(request: &Request<G>, effect: Effect) -> InputOf<G> {
    let error = G::refused(effect);
    match request {
        Request::Read => Input::Read(Err(error), None),
        Request::Subject(_) => Input::SubjectRead(Err(error), None),
        Request::Write(_) => Input::Written(Err(error), None),
    }
}

fn changed<G: Game>(change: Change<ObjectOf<G>>) -> InputOf<G> {
    match change {
        Change::Written(object) => Input::Changed(object),
        Change::Deleted(version) => Input::Deleted(version),
    }
}
