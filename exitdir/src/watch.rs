//! What a follower knows about its directory, and when it must check again.
//!
//! While nothing happens the follower sleeps. Events report entries, a leader that starts or ends,
//! and the removal of the directory. Without events the follower checks four times a second.

use std::{
    fs::File,
    ops::Range,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use log::{debug, warn};

use crate::{
    ExitDir,
    entries::{self, Found, WRITING},
    error::Kind,
    events::{Changes, Events},
    leader,
    life::{self, Proof},
    watcher::Ended,
};

/// How often we check without events.
const LOOK: Duration = Duration::from_millis(250);

/// How often we check in addition to the events. The kernel reports a directory's removal only when
/// the last process closes it, and a living leader keeps it open.
const SELDOM: Duration = Duration::from_secs(90);

/// How long a directory may be gone before it counts as removed.
const GONE: Duration = Duration::from_secs(1);

/// How often we check while the directory is missing or the leader may still be writing a record.
const SOON: Duration = Duration::from_millis(50);

/// The kernel reports a closed file before it frees the lock, and long before on a busy machine. So
/// we check again this often: after a millisecond, then after twice as long each time.
const AGAIN: Range<u32> = 0..12;

/// The same for a file that was closed just before the watch began.
const AT_FIRST: Range<u32> = 0..8;

/// Device and inode number.
type FileId = (u64, u64);

/// A directory under watch.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) dir: ExitDir,
    id: FileId,
    /// The directory itself, while it has a leader: another directory may replace it at the path.
    /// Without events, the open file also keeps its inode number from being reused.
    file: Option<File>,
    pub(crate) events: Option<Events>,
    /// How often we check when there are no events.
    poll: Option<Duration>,
    changes: Changes,
    made: bool,
    /// The living leader that we saw.
    pub(crate) leader: Option<Proof>,
    /// The last leader that was found dead.
    dead: Option<Proof>,
    /// The path leads to another directory than the living leader's.
    astray: bool,
    /// The directory was removed, even if another one has its inode number now.
    removed: bool,
    /// The remaining checks since a file was closed that may have been the leader's.
    again: Range<u32>,
    gone_since: Option<Instant>,
    empty_since: Option<Instant>,
}

impl Watch {
    /// First checks whether the leader is alive: it may die at any time.
    pub(crate) fn new(dir: ExitDir, poll: Option<Duration>) -> Result<Self, Kind> {
        let file = leader::open(dir.path())?;
        let (leader, dead) = leader_of(&file)?;
        let mut watch = Self {
            dir,
            id: id(&file)?,
            file: None,
            events: None,
            poll,
            changes: Changes::default(),
            made: false,
            again: if leader.is_some() { AT_FIRST } else { 0..0 },
            leader,
            dead,
            astray: false,
            removed: false,
            gone_since: None,
            empty_since: None,
        };
        watch.arm(&file)?;
        watch.keep(file);
        Ok(watch)
    }

    fn arm(&mut self, file: &File) -> Result<(), Kind> {
        if self.poll.is_some() {
            return Ok(());
        }
        self.events = Events::of(self.dir.path())?;
        self.note_lock(file);
        Ok(())
    }

    /// A leader that only locks the directory must be polled: nobody is notified when the lock is
    /// released.
    fn note_lock(&mut self, file: &File) {
        if self.poll.is_none() && self.events.is_some() && !life::can_be_told(file) {
            self.poll = Some(LOOK);
            let path = self.dir.path();
            warn!("the leader of {path:?} is known by a lock only, looking four times a second");
        }
    }

    fn keep(&mut self, file: File) {
        if self.leader.is_some() || self.events.is_none() {
            self.file.get_or_insert(file);
        }
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        let again = self.again.clone().next();
        let again = again.map(|doublings| Duration::from_millis(1 << doublings));
        let soon = self.gone_since.or(self.empty_since).map(|_| SOON);
        let look = match &self.events {
            None => self.poll.unwrap_or(LOOK),
            Some(_) if self.astray => LOOK,
            Some(_) => self.poll.unwrap_or(SELDOM),
        };
        again.into_iter().chain(soon).chain([look]).min()
    }

    /// Reads the events. Returns true if we must check the directory.
    pub(crate) fn hear(&mut self) -> bool {
        if let Some(events) = &self.events {
            events.drain(&mut self.changes);
        }
        self.changes.any
    }

    /// Checks the leader first and the entries second: a leader signals before its life ends.
    pub(crate) fn look(&mut self, overdue: bool) -> Result<Option<Ended>, Kind> {
        let changes = std::mem::take(&mut self.changes);
        self.made |= changes.made;
        self.again.next();
        if changes.closed {
            self.again = AGAIN;
        }
        self.removed |= changes.gone;
        match self.look_at(&changes, overdue) {
            Err(error) if error.is_not_found() => self.missing(),
            seen => seen,
        }
    }

    fn look_at(&mut self, changes: &Changes, overdue: bool) -> Result<Option<Ended>, Kind> {
        let file = leader::open(self.dir.path())?;
        let is_other = self.removed || id(&file)? != self.id;
        if is_other && self.leader.is_none() && !self.made {
            return self.follow(file, overdue);
        }
        self.astray = is_other;
        let own = self.file.as_ref().unwrap_or(&file);
        let (living, dead) = leader_of(own)?;
        let came_and_died = dead.is_some() && dead != self.dead;
        match entries::look(self.dir.path())? {
            Found::Signal(record) => return Ok(Some(Ended::Signalled(record))),
            Found::Empty => return Ok(self.empty(changes.written)),
            // An entry that was created and removed counts as a signal.
            Found::Nothing if self.made => return Ok(Some(Ended::unknown())),
            Found::Nothing => {}
        }
        self.gone_since = None;
        self.empty_since = None;
        let died = self.leader.is_some() && living != self.leader;
        if died || (living.is_none() && (overdue || came_and_died)) {
            return Ok(Some(Ended::LeaderDied));
        }
        self.leader = living;
        self.dead = dead.or(self.dead.take());
        self.note_lock(&file);
        self.keep(file);
        Ok(None)
    }

    /// An older leader's empty record, or one that is still being written.
    fn empty(&mut self, written: bool) -> Option<Ended> {
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        (written || since.elapsed() >= WRITING).then(Ended::unknown)
    }

    fn missing(&mut self) -> Result<Option<Ended>, Kind> {
        if self.made {
            return Ok(Some(Ended::unknown()));
        }
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GONE {
            Ok(None)
        } else {
            Err(Kind::Removed)
        }
    }

    /// Continues with the directory that is at the path now.
    fn follow(&mut self, file: File, overdue: bool) -> Result<Option<Ended>, Kind> {
        let path = self.dir.path();
        debug!("exit directory {path:?} was replaced; following the new one");
        self.id = id(&file)?;
        self.removed = false;
        self.file = None;
        (self.leader, self.dead) = leader_of(&file)?;
        self.arm(&file)?;
        self.keep(file);
        // A signal or a leader may have appeared in between.
        self.look(overdue)
    }
}

fn id(file: &File) -> Result<FileId, Kind> {
    let metadata = file.metadata().map_err(Kind::io("read"))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The leader that the directory names, as the living or as the dead one.
fn leader_of(dir: &File) -> Result<(Option<Proof>, Option<Proof>), Kind> {
    let Some(last) = life::last(dir) else {
        return Ok((None, None));
    };
    Ok(match life::lives(dir, &last)? {
        true => (Some(last), None),
        // One without a file may also mean that the attribute cannot be read.
        false => (
            None,
            Some(last).filter(|last| matches!(last, Proof::File(_))),
        ),
    })
}
