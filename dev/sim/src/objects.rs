//! The one object that the server keeps, and the rules by which it changes.

use coord_lease::{Change, Version, engine::Effect};

use super::game::Kept;

/// The object, if there is one. Versions count the writes.
#[derive(Debug)]
pub(super) struct Objects<O> {
    last: u64,
    kept: Option<O>,
}

impl<O: Kept> Objects<O> {
    pub(super) fn new() -> Self {
        Self {
            last: 0,
            kept: None,
        }
    }

    pub(super) fn get(&self) -> Option<O> {
        self.kept.clone()
    }

    pub(super) fn create(&mut self, object: &O) -> Result<O, Effect> {
        if self.kept.is_some() {
            return Err(Effect::Conflict);
        }
        let mut object = object.clone();
        object.set_uid(&uid(self.last + 1));
        Ok(self.put(object))
    }

    pub(super) fn update(&mut self, object: &O) -> Result<O, Effect> {
        self.compare(object)?;
        Ok(self.put(object.clone()))
    }

    /// Replaces it whatever its version is, which a store must never do.
    pub(super) fn overwrite(&mut self, object: &O) -> O {
        self.put(object.clone())
    }

    pub(super) fn delete(&mut self, object: &O) -> Result<Version, Effect> {
        self.compare(object)?;
        Ok(self.remove())
    }

    /// Whatever its version is, which a store must never do either.
    pub(super) fn remove(&mut self) -> Version {
        self.last += 1;
        self.kept = None;
        version(self.last)
    }

    /// What has changed since this version.
    pub(super) fn since(&self, since: Option<&Version>) -> Option<Change<O>> {
        let is_newer = |version: &Version| since.is_none_or(|since| since.is_before(version));
        match &self.kept {
            Some(object) if is_newer(&object.version()) => Some(Change::Written(object.clone())),
            Some(_) => None,
            None => {
                let gone = version(self.last);
                (since.is_some() && is_newer(&gone)).then_some(Change::Deleted(gone))
            }
        }
    }

    fn compare(&self, object: &O) -> Result<(), Effect> {
        let same = |there: &O| there.version() == object.version() && there.uid() == object.uid();
        match &self.kept {
            Some(there) if same(there) => Ok(()),
            _ => Err(Effect::Conflict),
        }
    }

    fn put(&mut self, mut object: O) -> O {
        self.last += 1;
        object.set_version(&version(self.last));
        self.kept = Some(object.clone());
        object
    }
}

/// Whether this is the state in which it was created.
pub(super) fn is_new(object: &impl Kept) -> bool {
    let version = object.version().number();
    version.is_some_and(|version| object.uid() == uid(version.get()))
}

fn uid(version: u64) -> String {
    format!("uid-{version}")
}

fn version(number: u64) -> Version {
    Version::new(number.to_string())
}
