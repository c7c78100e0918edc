//! The server's only object, and the rules by which it changes.

use std::collections::VecDeque;

use coord_lease::{Change, Random, Version, engine::Effect};

use super::game::Stored;

/// How many earlier states have backups.
const BACKUPS: usize = 40;

/// The step from one version to the next. After a restore, versions differ from those before.
const STEP: u64 = 16;

/// The object, if it exists. Versions rise with each write.
#[derive(Debug)]
pub(super) struct Objects<O> {
    state: State<O>,
    backups: VecDeque<State<O>>,
    /// How often a backup was restored.
    restored: u64,
}

#[derive(Clone, Debug)]
struct State<O> {
    last: u64,
    kept: Option<O>,
}

impl<O: Stored> Objects<O> {
    pub(super) fn new() -> Self {
        Self {
            state: State {
                last: 0,
                kept: None,
            },
            backups: VecDeque::new(),
            restored: 0,
        }
    }

    pub(super) fn get(&self) -> Option<O> {
        self.state.kept.clone()
    }

    /// Restores an earlier state, if there is one.
    pub(super) fn restore(&mut self, random: &mut Random) -> Option<Option<O>> {
        let back = random.number() % BACKUPS as u64;
        let index = self
            .backups
            .len()
            .checked_sub(usize::try_from(back).ok()? + 1)?;
        self.state = self.backups.get(index)?.clone();
        self.backups.truncate(index);
        self.restored += 1;
        Some(self.get())
    }

    /// How often a backup was restored.
    pub(super) fn restored(&self) -> u64 {
        self.restored
    }

    /// Whether this version was given after the last restore.
    pub(super) fn is_of_this_history(&self, number: u64) -> bool {
        number % STEP == self.restored % STEP
    }

    /// The number of the next version; the current state is kept as a backup.
    fn next(&mut self) -> u64 {
        self.backups.push_back(self.state.clone());
        if self.backups.len() > BACKUPS {
            self.backups.pop_front();
        }
        self.state.last = (self.state.last / STEP + 1) * STEP + self.restored % STEP;
        self.state.last
    }

    pub(super) fn create(&mut self, object: &O) -> Result<O, Effect> {
        if self.state.kept.is_some() {
            return Err(Effect::Conflict);
        }
        let mut object = object.clone();
        let number = self.next();
        object.set_uid(&uid(number));
        Ok(self.keep(object, number))
    }

    pub(super) fn update(&mut self, object: &O) -> Result<O, Effect> {
        self.compare(object)?;
        Ok(self.put(object.clone()))
    }

    /// Replaces the object in any version, which a store must never do.
    pub(super) fn overwrite(&mut self, object: &O) -> O {
        self.put(object.clone())
    }

    pub(super) fn delete(&mut self, object: &O) -> Result<Version, Effect> {
        self.compare(object)?;
        Ok(self.remove())
    }

    /// Removes the object in any version, which a store must never do.
    pub(super) fn remove(&mut self) -> Version {
        let number = self.next();
        self.state.kept = None;
        version(number)
    }

    /// The change after this version.
    pub(super) fn since(&self, since: Option<&Version>) -> Option<Change<O>> {
        let is_newer = |version: &Version| since.is_none_or(|since| since.is_before(version));
        match &self.state.kept {
            Some(object) if is_newer(&object.version()) => Some(Change::Written(object.clone())),
            Some(_) => None,
            None => {
                let gone = version(self.state.last);
                (since.is_some() && is_newer(&gone)).then_some(Change::Deleted(gone))
            }
        }
    }

    fn compare(&self, object: &O) -> Result<(), Effect> {
        let same = |there: &O| there.version() == object.version() && there.uid() == object.uid();
        match &self.state.kept {
            Some(there) if same(there) => Ok(()),
            _ => Err(Effect::Conflict),
        }
    }

    fn put(&mut self, object: O) -> O {
        let number = self.next();
        self.keep(object, number)
    }

    fn keep(&mut self, mut object: O, number: u64) -> O {
        object.set_version(&version(number));
        self.state.kept = Some(object.clone());
        object
    }
}

/// Whether this is the state in which it was created.
pub(super) fn is_new(object: &impl Stored) -> bool {
    let version = object.version().number();
    version.is_some_and(|version| object.uid() == uid(version.get()))
}

fn uid(version: u64) -> String {
    format!("uid-{version}")
}

fn version(number: u64) -> Version {
    Version::new(number.to_string())
}
