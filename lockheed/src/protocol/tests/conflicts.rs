//! Holders' writes that others are faster than, or that the server refuses.

use std::collections::BTreeMap;

use super::*;

/// Answers all writes of a holder with a conflict, for ten seconds. Each answer takes this long.
/// `others` returns what is stored by then. Returns how many writes were tried.
fn conflicting(
    engine: &mut Engine<Mutex>,
    answer: Duration,
    mut others: impl FnMut() -> Object,
) -> usize {
    let conflict = || StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
    let (mut now, mut tried) = (at(12), 0);
    let mut object = others();
    engine.handle(Input::Time, now);
    while now < at(22) {
        for output in outputs(engine) {
            match output {
                Output::Read => engine.handle(read(Some(object.clone())), now),
                Output::Write(_) => {
                    tried += 1;
                    object = others();
                    engine.handle(Input::Written(Err(conflict()), None), now);
                }
                _ => {}
            }
        }
        now = now + answer;
        engine.handle(Input::Time, now);
    }
    tried
}

/// The others may be a crowd that joins the queue. Who is faster each time is chance, so the holder
/// must try often before its lease is over. But no loop spins.
#[test]
fn a_holder_tries_again_soon_while_others_are_faster() {
    for (answer, release) in [(1, false), (1, true), (100, false), (100, true)] {
        let (mut engine, object) = holder();
        let mut version = 700;
        let others = || {
            version += 1;
            versioned(object.clone(), version)
        };
        if release {
            engine.handle(Input::Release, at(12));
        }
        let tried = conflicting(&mut engine, Duration::from_millis(answer), others);
        assert!((20..300).contains(&tried), "{tried} writes in ten seconds");
    }
}

/// So does a command that renews another program's lease.
#[test]
fn renew_tries_again_soon_while_others_are_faster() {
    for answer in [1, 100] {
        let (_, object) = holder();
        let settings = Settings {
            goal: Goal::Renew,
            length: Some(LENGTH),
            renew_interval: None,
            wait: Wait::Forever,
        };
        let renewing = Mutex::new(of_one("me")).renewing();
        let mut engine = Engine::new(renewing, settings, Moment::new(at(12)), 1);
        let mut version = 700;
        let others = || {
            version += 1;
            versioned(object.clone(), version)
        };
        let tried = conflicting(&mut engine, Duration::from_millis(answer), others);
        assert!((20..300).contains(&tried), "{tried} writes in ten seconds");
    }
}

/// Nobody was faster: the server refuses each write.
// Holds lockheed-8.
#[test]
fn a_holder_whose_writes_are_all_refused_tries_less_and_less_often() {
    for release in [false, true] {
        let (mut engine, object) = holder();
        if release {
            engine.handle(Input::Release, at(12));
        }
        let answer = Duration::from_millis(1);
        let tried = conflicting(&mut engine, answer, || object.clone());
        assert!((3..15).contains(&tried), "{tried} writes in ten seconds");
    }
}

/// Conflicts in between say nothing about a server that is overloaded.
#[test]
fn a_conflict_does_not_shorten_the_pauses_after_failures() {
    let (mut engine, object) = holder();
    let (mut now, mut tried, mut version) = (at(12), 0, 700);
    engine.handle(Input::Time, now);
    while now < at(22) {
        for output in outputs(&mut engine) {
            match output {
                Output::Read => {
                    version += 1;
                    engine.handle(read(Some(versioned(object.clone(), version))), now);
                }
                Output::Write(_) => {
                    tried += 1;
                    let error = match tried % 2 {
                        0 => StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409"),
                        _ => refused(),
                    };
                    engine.handle(Input::Written(Err(error), None), now);
                }
                _ => {}
            }
        }
        now = now + Duration::from_millis(5);
        engine.handle(Input::Time, now);
    }
    assert!((3..15).contains(&tried), "{tried} writes in ten seconds");
}

/// What happens to an engine next.
enum Next {
    Wakes,
    Reads,
    Writes(Object),
}

/// A server that answers one request after the other, and holders of a shared lock.
struct Crowd {
    engines: Vec<Engine<Mutex>>,
    object: Option<Object>,
    /// How long each answer takes.
    each: Duration,
    /// When the last request is answered.
    busy: BootInstant,
    happens: BTreeMap<(BootInstant, usize), (usize, Next)>,
    asked: usize,
    lost: usize,
}

impl Crowd {
    fn ask(&mut self, number: usize, next: Next, at: BootInstant) {
        self.asked += 1;
        self.happens.insert((at, self.asked), (number, next));
    }

    fn take(&mut self, number: usize, input: Input<Mutex>, now: BootInstant) {
        self.engines[number].handle(input, now);
        for output in outputs(&mut self.engines[number]) {
            let next = match output {
                Output::Read => Next::Reads,
                Output::Write(Write::Create(object) | Write::Update(object)) => {
                    Next::Writes(object)
                }
                Output::Tell(Event::Lost(_)) => {
                    self.lost += 1;
                    continue;
                }
                _ => continue,
            };
            self.busy = self.busy.max(now) + self.each;
            self.ask(number, next, self.busy);
        }
        if let Some(wake) = self.engines[number].wake_at() {
            self.ask(number, Next::Wakes, wake.max(now));
        }
    }

    /// Answers until this moment.
    fn play(&mut self, until: BootInstant) {
        while let Some(((now, _), (number, next))) = self.happens.pop_first()
            && now < until
        {
            let input = match next {
                Next::Wakes => Input::Time,
                Next::Reads => Input::Read(Ok(self.object.clone()), None),
                Next::Writes(object) => Input::Written(self.write(object).map(Some), None),
            };
            self.take(number, input, now);
        }
    }

    fn write(&mut self, new: Object) -> Result<Object, StoreError> {
        let base = self.object.as_ref().map(|object| object.version.clone());
        if base.is_some_and(|base| base != new.version) {
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                Errno::EAGAIN,
                "409",
            ));
        }
        let new = versioned(new, u64::try_from(self.asked).unwrap());
        Ok(self.object.insert(new).clone())
    }
}

/// All renew in the same moment, and each write that is done makes the others' conflict.
#[test]
fn holders_that_collide_with_each_other_all_keep_the_lock() {
    let holder = |number: usize| Contender {
        mode: Mode::Shared,
        ..of_one(&format!("holder {number}"))
    };
    let mut crowd = Crowd {
        engines: (0..60)
            .map(|number| wanting(holder(number), Wait::Forever))
            .collect(),
        object: None,
        each: Duration::ZERO,
        busy: at(0),
        happens: BTreeMap::new(),
        asked: 0,
        lost: 0,
    };
    for number in 0..crowd.engines.len() {
        crowd.take(number, Input::Time, at(0));
        crowd.play(at(1));
    }
    let record = crowd.object.as_ref().unwrap().record().unwrap();
    assert_eq!(record.leases.len(), crowd.engines.len());
    crowd.each = Duration::from_millis(12);
    for number in 0..crowd.engines.len() {
        crowd.take(number, Input::Time, at(10));
    }
    let before = crowd.asked;
    crowd.play(at(45));
    let asked = crowd.asked - before;
    assert_eq!(crowd.lost, 0, "in {asked} requests");
}

/// Somebody has created and deleted the lock in between, and others may try again too.
#[test]
fn who_was_late_for_a_lock_that_is_gone_again_makes_room() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(None), at(1));
    writes(&mut engine);
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EEXIST, "409");
    engine.handle(Input::Written(Err(conflict), None), at(1));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(None), at(1));
    assert!(outputs(&mut engine).is_empty());
    let tries = engine.wake_at().unwrap();
    assert!(tries > at(1) && tries < at(2), "{tries:?}");
    engine.handle(Input::Time, tries);
    writes(&mut engine);
}
