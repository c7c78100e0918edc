//! The simplest lock, and a script that plays its store.

use std::{convert::Infallible, fmt, future::pending};

use super::*;
use crate::engine::{Deadline, Moment, NewLease, Nonce, RequestError, Settings, Verdict};

/// Longer than anything here takes.
const WATCHDOG: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

/// A lock of which nothing is known but its holder.
pub(super) struct Lock {
    /// Its leases have no end.
    endless: bool,
    seen: Option<Object>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) version: u32,
    pub(super) holder: Option<&'static str>,
    nonce: Nonce,
}

#[derive(Debug)]
pub(super) struct Failed(pub(super) Effect);

impl Object {
    pub(super) fn held_by(holder: &'static str, version: u32) -> Self {
        let (holder, nonce) = (Some(holder), Nonce(0));
        Self {
            version,
            holder,
            nonce,
        }
    }

    fn of(lease: NewLease) -> Self {
        let nonce = lease.nonce;
        Self {
            nonce,
            ..Self::held_by("me", 0)
        }
    }

    fn free(nonce: Nonce) -> Self {
        let (version, holder) = (0, None);
        Self {
            version,
            holder,
            nonce,
        }
    }
}

impl Protocol for Lock {
    type Object = Object;
    /// The holder, if it is another.
    type Subject = &'static str;
    type Fact = u32;
    type HeldBy = String;
    type Grant = u32;
    type Refusal = Infallible;
    type Notice = u32;
    type Error = Failed;

    fn version(&self, object: &Object) -> Version {
        Version::new(object.version.to_string())
    }

    fn observe(&mut self, object: Option<&Object>, _: Moment) {
        self.seen = object.cloned();
    }

    fn subject(&self) -> Option<&'static str> {
        let holder = self.seen.as_ref()?.holder;
        holder.filter(|holder| *holder != "me")
    }

    fn is_watched(&self, _: &&'static str) -> bool {
        true
    }

    fn learn(&mut self, _: &&'static str, fact: u32) -> Option<u32> {
        Some(fact)
    }

    fn judge(&self, object: Option<&Object>, _: Moment) -> Verdict<Self> {
        match object.map(|object| (object.holder, object.version)) {
            None | Some((None, _)) => Verdict::Free,
            Some((Some("me"), _)) => Verdict::Ours(None),
            Some((Some(other), version)) => Verdict::Held(format!("{other} {version}"), None),
        }
    }

    fn is_same(&self, one: &String, other: &String) -> bool {
        one == other
    }

    fn has_lease(&self, object: &Object) -> Option<bool> {
        Some(object.holder == Some("me"))
    }

    fn nonce(&self, object: &Object) -> Option<Nonce> {
        object.holder.map(|_| object.nonce)
    }

    fn passed(&self, _: &Object) -> Option<u32> {
        None
    }

    fn grant(&self, object: &Object) -> Result<u32, Failed> {
        Ok(object.version)
    }

    fn deadline(&mut self, _: &Object, sent: Option<BootInstant>, _: Moment) -> Deadline {
        match sent {
            None => Deadline::Unchanged,
            Some(_) if self.endless => Deadline::Never,
            Some(sent) => Deadline::At(sent + HOUR),
        }
    }

    fn claim(
        &mut self,
        object: Option<&Object>,
        lease: NewLease,
        _: Moment,
    ) -> (Write<Object>, Option<u32>) {
        let claimed = Object::of(lease);
        let write = match object {
            None => Write::Create(claimed),
            Some(_) => Write::Update(claimed),
        };
        (write, None)
    }

    fn extend(
        &self,
        _: &Object,
        _: Option<&u32>,
        lease: NewLease,
        _: Moment,
    ) -> Result<Write<Object>, Failure<Self>> {
        Ok(Write::Update(Object::of(lease)))
    }

    fn release(&self, object: &Object, _: Moment) -> Result<Option<Write<Object>>, Failure<Self>> {
        let ours = object.holder == Some("me");
        Ok(ours.then(|| Write::Update(Object::free(object.nonce))))
    }

    fn fence(&self, _: Option<&Object>, nonce: Nonce, _: Moment) -> Write<Object> {
        Write::Update(Object::free(nonce))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for Failed {}

impl RequestError for Failed {
    fn effect(&self) -> Effect {
        self.0
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

type Found = Result<Option<Object>, Failed>;
type Reports<T> = mpsc::UnboundedReceiver<Result<Option<T>, Failed>>;
pub(super) type Reporting<T> = mpsc::UnboundedSender<Result<Option<T>, Failed>>;

/// A call of the store, and where to answer.
#[derive(Debug)]
pub(super) enum Call {
    Read(oneshot::Sender<Found>),
    Write(Write<Object>, oneshot::Sender<Found>),
    Watch(Option<Version>, oneshot::Sender<Reports<Change<Object>>>),
    ReadSubject(oneshot::Sender<u32>),
    WatchSubject(oneshot::Sender<Reports<u32>>),
}

/// Passes each call to the script.
struct Scripted(mpsc::UnboundedSender<Call>);

impl Scripted {
    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> T {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(call(reply));
        match answer.await {
            Ok(answer) => answer,
            Err(_) => pending().await,
        }
    }
}

fn answered<T>(result: Result<T, Failed>) -> Answer<T, Failed> {
    let clock = None;
    Answer { result, clock }
}

impl Store<Lock> for Scripted {
    type Watch = Reports<Change<Object>>;
    type SubjectWatch = Reports<u32>;

    async fn read(&self) -> Answer<Option<Object>, Failed> {
        answered(self.ask(Call::Read).await)
    }

    async fn write(&self, write: Write<Object>) -> Answer<Option<Object>, Failed> {
        answered(self.ask(|reply| Call::Write(write, reply)).await)
    }

    async fn watch(&self, since: Option<Version>) -> Result<Self::Watch, Failed> {
        Ok(self.ask(|reply| Call::Watch(since, reply)).await)
    }

    async fn read_subject(&self, _: &'static str) -> Answer<u32, Failed> {
        answered(Ok(self.ask(Call::ReadSubject).await))
    }

    async fn watch_subject(&self, _: &'static str) -> Result<Self::SubjectWatch, Failed> {
        Ok(self.ask(Call::WatchSubject).await)
    }
}

impl<T: Send + 'static> Watch<T, Failed> for Reports<T> {
    async fn next(&mut self) -> Result<Option<T>, Failed> {
        match self.recv().await {
            Some(report) => report,
            None => pending().await,
        }
    }
}

/// The script's side: what the store is asked, and what the lock's user is told.
pub(super) struct Script {
    calls: mpsc::UnboundedReceiver<Call>,
    told: mpsc::UnboundedReceiver<String>,
}

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, what).await.expect("in time")
}

impl Script {
    /// The next call; none when the driver has ended.
    pub(super) async fn call(&mut self) -> Option<Call> {
        soon(self.calls.recv()).await
    }

    pub(super) async fn read(&mut self, found: Option<Object>) {
        match self.call().await {
            Some(Call::Read(reply)) => reply.send(Ok(found)).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next write, which has this result, with the object in this version.
    pub(super) async fn write(&mut self, result: Result<u32, Effect>) -> Object {
        match self.call().await {
            Some(Call::Write(Write::Create(object) | Write::Update(object), reply)) => {
                let done = result.map(|version| Object {
                    version,
                    ..object.clone()
                });
                reply.send(done.map(Some).map_err(Failed)).unwrap();
                object
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn watch(&mut self, version: &str) -> Reporting<Change<Object>> {
        match self.call().await {
            Some(Call::Watch(since, reply)) => {
                assert_eq!(since, Some(Version::new(version)));
                reports(reply)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The watches of an object of another holder and of this holder, which begin in any order.
    pub(super) async fn watch_both(&mut self) -> (Reporting<Change<Object>>, Reporting<u32>) {
        let (mut object, mut subject) = (None, None);
        while object.is_none() || subject.is_none() {
            match self.call().await {
                Some(Call::Watch(_, reply)) => object = Some(reports(reply)),
                Some(Call::WatchSubject(reply)) => subject = Some(reports(reply)),
                other => panic!("{other:?}"),
            }
        }
        (object.unwrap(), subject.unwrap())
    }

    pub(super) async fn read_subject(&mut self, fact: u32) {
        match self.call().await {
            Some(Call::ReadSubject(reply)) => reply.send(fact).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the lock's user is told this.
    pub(super) async fn tells(&mut self, event: &str) {
        while soon(self.told.recv()).await.expect("the driver runs") != event {}
    }
}

fn reports<T>(reply: oneshot::Sender<Reports<T>>) -> Reporting<T> {
    let (reporting, reports) = mpsc::unbounded_channel();
    assert!(reply.send(reports).is_ok());
    reporting
}

pub(super) fn begin(goal: Goal, wait: Wait, endless: bool) -> (Started<Lock>, Script) {
    let settings = Settings {
        goal,
        length: (!endless).then_some(HOUR),
        renew_interval: None,
        wait,
    };
    let lock = Lock {
        endless,
        seen: None,
    };
    let engine = Engine::new(lock, settings, Moment::new(BootInstant::now()), 1);
    let (calling, calls) = mpsc::unbounded_channel();
    let (telling, told) = mpsc::unbounded_channel();
    let tell = move |event: &Event<Lock>| drop(telling.send(format!("{event:?}")));
    let started = start(engine, Scripted(calling), tell).unwrap();
    (started, Script { calls, told })
}
