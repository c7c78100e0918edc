//! An outage: one kind of request fails for a minute in one way, while all others work.

use std::{collections::BTreeMap, time::Duration};

use coord_lease::{
    Random,
    engine::{Effect, Input, Write},
};

use super::{
    Kind,
    check::Violation,
    event::Request,
    game::{EventOf, Game, InputOf},
    network::{Fate, WatchFate},
    world::World,
};

/// What fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The requests that fail.
    pub of: Asked,
    /// The way they fail.
    pub how: Failing,
}

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Reading the lock's object.
    Read,
    /// Creating it.
    Create,
    /// Updating it.
    Update,
    /// Deleting it.
    Delete,
    /// Watching it.
    Watch,
    /// Reading the subject.
    SubjectRead,
    /// Watching the subject.
    SubjectWatch,
}

/// The ways to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Refused at once, without effect; it may work later.
    Refused,
    /// Not allowed.
    Forbidden,
    /// It never arrives.
    Unheard,
    /// The object is said to have changed.
    Conflict,
    /// Not done, but the answer does not say so.
    Unclear,
    /// Done, but the answer does not say so.
    DoneUnclear,
    /// Done, but the answer never comes.
    DoneUnheard,
    /// A watch starts and ends at once.
    EndsAtOnce,
}

/// The result of an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endured {
    /// How many requests and watches the busiest contender started during the outage.
    pub requests: u64,
    /// How often one attempt received the same report about the store or its watches.
    pub told: u32,
}

/// When the outage starts.
const FROM: Duration = Duration::from_secs(20);

/// When the outage ends.
const UNTIL: Duration = Duration::from_secs(80);

/// Counted during the outage.
#[derive(Default)]
pub(super) struct Counts {
    requests: BTreeMap<usize, u64>,
    told: BTreeMap<(usize, u32, &'static str), u32>,
}

impl Outage {
    /// Every kind of request in every way in which it can fail.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use Asked::{Create, Delete, Read, SubjectRead, SubjectWatch, Update, Watch};
        let kinds = [
            (&[Read, SubjectRead][..], &Failing::OF_READS[..]),
            (&[Create, Update, Delete], &Failing::OF_WRITES),
            (&[Watch, SubjectWatch], &Failing::OF_WATCHES),
        ];
        let pairs = kinds.iter().flat_map(|(asked, ways)| {
            let each = |of: &Asked| {
                let of = *of;
                ways.iter().map(move |how| Self { of, how: *how })
            };
            asked.iter().flat_map(each).collect::<Vec<_>>()
        });
        pairs.collect()
    }

    /// A random one of them.
    pub(super) fn any(random: &mut Random) -> Self {
        let all = Self::all();
        all[usize::try_from(random.number() % all.len() as u64).unwrap_or(0)]
    }
}

impl Failing {
    const OF_READS: [Self; 3] = [Self::Refused, Self::Forbidden, Self::Unheard];
    const OF_WATCHES: [Self; 4] = [
        Self::Refused,
        Self::Forbidden,
        Self::Unheard,
        Self::EndsAtOnce,
    ];
    const OF_WRITES: [Self; 7] = [
        Self::Refused,
        Self::Forbidden,
        Self::Unheard,
        Self::Conflict,
        Self::Unclear,
        Self::DoneUnclear,
        Self::DoneUnheard,
    ];

    /// Changes the fate of a request that would succeed.
    fn spoil(self, mut fate: Fate) -> Fate {
        match self {
            Self::Refused | Self::EndsAtOnce => fate.refused = Some(Effect::None),
            Self::Forbidden => fate.refused = Some(Effect::Final),
            Self::Conflict => fate.refused = Some(Effect::Conflict),
            Self::Unclear => fate.refused = Some(Effect::Unknown),
            Self::DoneUnclear => fate.denied_after = Some(Effect::Unknown),
            Self::Unheard => fate.there = None,
            Self::DoneUnheard => fate.back = None,
        }
        fate
    }

    /// Changes the fate of a watch.
    fn spoil_watch(self, fate: WatchFate) -> WatchFate {
        let error = match self {
            Self::Refused => Some(Effect::None),
            Self::Forbidden => Some(Effect::Final),
            _ => None,
        };
        let silent = self == Self::Unheard;
        let ends_after = if silent {
            fate.ends_after
        } else {
            Duration::ZERO
        };
        WatchFate {
            silent,
            ends_after,
            error,
            ..fate
        }
    }
}

impl<G: Game> World<G> {
    /// A world with a few contenders, each of which holds the lock for up to `hold`.
    pub(super) fn under(kind: Kind, outage: Outage, hold: Duration, seed: u64) -> Self {
        let mut world = Self::crowd(kind, 5, seed);
        world.eager = false;
        world.outage = Some((outage, FROM..UNTIL));
        world.longest_hold = hold;
        for node in &mut world.nodes {
            node.length = Duration::from_secs(30);
        }
        world
    }

    /// Runs until the outage is over and everybody has had the lock once more.
    pub(super) fn endure(&mut self) -> Result<Endured, Violation> {
        let served_by = UNTIL + self.longest_hold * 6 + Duration::from_secs(120);
        let mut counts = None;
        self.begin_all(Duration::from_secs(3));
        while let Some(at) = self.step()? {
            if at >= UNTIL && counts.is_none() {
                counts = Some(std::mem::take(&mut self.counts));
                self.ends = true;
                self.nodes.iter_mut().for_each(|node| node.served = false);
            }
            if let Some(counts) = counts.as_ref().filter(|_| self.unserved().is_empty()) {
                return Ok(counts.most());
            }
            if at > served_by {
                return self.starving();
            }
        }
        self.starving()
    }

    fn outage(&self) -> Option<Outage> {
        let (outage, lasts) = self.outage.as_ref()?;
        lasts.contains(&self.now).then_some(*outage)
    }

    /// The fate of a request that would succeed.
    pub(super) fn spoil(&self, request: &Request<G>, fate: Fate) -> Fate {
        let asked = match request {
            Request::Read => Asked::Read,
            Request::Subject(_) => Asked::SubjectRead,
            Request::Write(Write::Create(_)) => Asked::Create,
            Request::Write(Write::Update(_)) => Asked::Update,
            Request::Write(Write::Delete(_)) => Asked::Delete,
        };
        match self.outage() {
            Some(outage) if outage.of == asked => outage.how.spoil(fate),
            _ => fate,
        }
    }

    /// The fate of a watch.
    pub(super) fn spoil_watch(&self, asked: Asked, fate: WatchFate) -> WatchFate {
        match self.outage() {
            Some(outage) if outage.of == asked => outage.how.spoil_watch(fate),
            _ => fate,
        }
    }

    pub(super) fn count_request(&mut self, node: usize) {
        if self.outage().is_some() {
            *self.counts.requests.entry(node).or_default() += 1;
        }
    }

    /// Counts a report.
    pub(super) fn count_event(&mut self, node: usize, life: u32, event: &EventOf<G>) {
        use coord_lease::engine::Event as News;
        let told = match event {
            News::NotRenewed(_) => "not renewed",
            News::NotWatched(_) => "not watched",
            News::Unreachable(_) => "unreachable",
            News::Reachable => "reachable",
            News::Notice(_) => "notice",
            _ => return,
        };
        if self.outage().is_some() {
            *self.counts.told.entry((node, life, told)).or_default() += 1;
        }
    }
}

impl Counts {
    fn most(&self) -> Endured {
        Endured {
            requests: self.requests.values().copied().max().unwrap_or(0),
            told: self.told.values().copied().max().unwrap_or(0),
        }
    }
}

/// The answer to a write that was done, when nobody is to know.
pub(super) fn denied<G: Game>(input: InputOf<G>, effect: Option<Effect>) -> InputOf<G> {
    match (effect, input) {
        (Some(effect), Input::Written(Ok(_), _)) => Input::Written(Err(G::refused(effect)), None),
        (_, input) => input,
    }
}
