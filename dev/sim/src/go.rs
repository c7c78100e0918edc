//! A writer like a Go program: it reserves, writes, and goes by its own wall clock. Its leases have
//! no length.

use std::time::Duration;

use coord_lease::Random;
use lockheed::{
    Lease, Record, Timestamp,
    store::{Object, RECORD},
};

use super::network::millis;

/// The writer's next step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Reserve,
    Take,
    Hold,
    ReserveToRelease,
    Release,
}

/// Another program that uses the lock.
pub(super) trait Foreign<O> {
    /// Whether its own wall clock decides when it takes the lock. Ours may then still hold it.
    const BY_ITS_CLOCK: bool;

    fn id(&self) -> String;

    /// It dies at this point, and another one starts.
    fn die(&mut self);

    /// Whether it was working, and its work is over by now.
    fn ends_work(&mut self, at: Duration) -> bool;

    /// The next object to write, based on the existing one; none if it has to try again later.
    fn next(&mut self, there: Option<&O>, at: Duration, random: &mut Random) -> Option<O>;

    /// How long it pauses when it has nothing to write.
    fn wait(&self, random: &mut Random) -> Duration;

    /// How long it pauses after a write that failed.
    fn retry(&self, random: &mut Random) -> Duration;

    /// How long it waits for an answer; none if its writes always arrive and are answered.
    fn timeout(&self) -> Option<Duration>;

    /// The write was done and answered.
    fn did(&mut self, written: &O, at: Duration, random: &mut Random) -> Did;

    /// The write failed, or was not answered.
    fn failed(&mut self);
}

/// No foreign program.
#[derive(Debug)]
pub(super) enum Nobody {}

impl<O> Foreign<O> for Nobody {
    const BY_ITS_CLOCK: bool = false;

    fn id(&self) -> String {
        match *self {}
    }

    fn die(&mut self) {
        match *self {}
    }

    fn ends_work(&mut self, _: Duration) -> bool {
        match *self {}
    }

    fn next(&mut self, _: Option<&O>, _: Duration, _: &mut Random) -> Option<O> {
        match *self {}
    }

    fn wait(&self, _: &mut Random) -> Duration {
        match *self {}
    }

    fn retry(&self, _: &mut Random) -> Duration {
        match *self {}
    }

    fn timeout(&self) -> Option<Duration> {
        match *self {}
    }

    fn did(&mut self, _: &O, _: Duration, _: &mut Random) -> Did {
        match *self {}
    }

    fn failed(&mut self) {
        match *self {}
    }
}

#[derive(Debug)]
pub(super) struct Go {
    life: u32,
    step: Step,
    /// The object after its own reservation.
    reserved: Option<Object>,
    /// How far its clock is behind the first server's at most.
    behind: Duration,
    expires: Timestamp,
}

/// The result of a step.
pub(super) enum Did {
    Nothing,
    /// It wrote, and believes that it holds the lock.
    Took {
        /// When it stops believing so.
        until: Duration,
        /// How long it pauses before its next step.
        then: Duration,
    },
    Ended,
}

impl Go {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            life: 0,
            step: Step::Reserve,
            reserved: None,
            behind: millis(random, 1500),
            expires: Timestamp::NEVER,
        }
    }

    /// The time on its own wall clock.
    fn clock(&self, at: Duration) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(1_800_000_000) + at - self.behind)
    }

    fn reserved(&mut self, written: &Object, then: Step) {
        self.reserved = Some(written.clone());
        self.step = then;
    }

    fn reserve(&self, there: &Object, now: Timestamp) -> Option<Object> {
        let until = there
            .annotations
            .get("reserved/expires")
            .and_then(|text| text.parse::<Timestamp>().ok());
        let by_other = there
            .annotations
            .get("reserved/by")
            .is_some_and(|by| *by != self.id());
        if by_other && until.is_some_and(|until| until > now) {
            return None;
        }
        let mut object = there.clone();
        object
            .annotations
            .insert("reserved/by".to_owned(), self.id());
        let until = now.plus(Duration::from_secs(30)).to_string();
        object
            .annotations
            .insert("reserved/expires".to_owned(), until);
        Some(object)
    }

    /// The lock with its lease, or unchanged if somebody holds it; in both cases without the
    /// reservation.
    fn take(&self, reserved: &Object, now: Timestamp, random: &mut Random) -> Option<Object> {
        let mut record = record(reserved);
        if record.leases.values().all(|lease| lease.is_expired(now)) {
            let expires = now.plus(Duration::from_secs(2) + millis(random, 6000));
            record.leases.clear();
            record
                .leases
                .insert(self.id(), Lease::new(&self.id(), expires, None));
        }
        Some(without_reservation(reserved, &record))
    }

    fn release(&self, reserved: &Object) -> Object {
        let mut record = record(reserved);
        record.leases.remove(&self.id());
        without_reservation(reserved, &record)
    }
}

impl Foreign<Object> for Go {
    const BY_ITS_CLOCK: bool = true;

    fn id(&self) -> String {
        format!("go-{}", self.life)
    }

    fn die(&mut self) {
        self.life += 1;
        self.step = Step::Reserve;
        self.reserved = None;
    }

    fn ends_work(&mut self, _: Duration) -> bool {
        let works = self.step == Step::Hold;
        if works {
            self.step = Step::ReserveToRelease;
        }
        works
    }

    fn next(
        &mut self,
        there: Option<&Object>,
        at: Duration,
        random: &mut Random,
    ) -> Option<Object> {
        let now = self.clock(at);
        match self.step {
            Step::Reserve | Step::ReserveToRelease => self.reserve(there?, now),
            Step::Take => self.take(self.reserved.as_ref()?, now, random),
            Step::Release => Some(self.release(self.reserved.as_ref()?)),
            Step::Hold => None,
        }
    }

    fn wait(&self, random: &mut Random) -> Duration {
        millis(random, 3000)
    }

    fn retry(&self, random: &mut Random) -> Duration {
        millis(random, 300)
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }

    fn did(&mut self, written: &Object, at: Duration, random: &mut Random) -> Did {
        let record = record(written);
        let ours = record.leases.get(&self.id());
        match self.step {
            Step::Reserve => self.reserved(written, Step::Take),
            Step::ReserveToRelease => self.reserved(written, Step::Release),
            Step::Take => {
                let Some(lease) = ours else {
                    self.step = Step::Reserve;
                    return Did::Nothing;
                };
                self.expires = lease.expires;
                self.step = Step::Hold;
                let left = lease.expires.after(self.clock(at));
                return Did::Took {
                    until: at + left,
                    then: millis(random, 6000),
                };
            }
            Step::Release => {
                self.die();
                return Did::Ended;
            }
            Step::Hold => {}
        }
        Did::Nothing
    }

    fn failed(&mut self) {
        self.reserved = None;
        self.step = match self.step {
            Step::Reserve | Step::Take => Step::Reserve,
            Step::Hold | Step::ReserveToRelease | Step::Release => Step::ReserveToRelease,
        };
    }
}

fn record(object: &Object) -> Record {
    let text = object.data.get(RECORD).map_or("{}", String::as_str);
    Record::from_json(text).unwrap_or_default()
}

fn without_reservation(object: &Object, record: &Record) -> Object {
    let mut object = object.clone();
    object.annotations.remove("reserved/by");
    object.annotations.remove("reserved/expires");
    object.data.insert(RECORD.to_owned(), record.to_json());
    object
}
