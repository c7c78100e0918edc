//! What the guard prepares before it reports that it is ready.

use nix::{
    sys::prctl,
    unistd::{Pid, setpgid},
};

use crate::supervise::{
    Error, alarm::Alarm, descriptors::Descriptors, error::Kind, reap, reexec::SignalMask, title,
    tree,
};

/// The guard's preparations before it reports that it is ready.
pub(crate) struct Tools {
    pub(super) alarm: Alarm,
    pub(super) descriptors: Descriptors,
    /// The signal mask that the client started with.
    pub(super) mask: SignalMask,
}

impl Tools {
    /// Makes this process a guard. It has just been forked and has one thread.
    ///
    /// # Errors
    /// Those of the system calls that it needs.
    pub(crate) fn new(client: Pid) -> Result<Self, Error> {
        title::become_guard(client.as_raw());
        prctl::set_child_subreaper(true).map_err(Kind::io("become a child subreaper (prctl)"))?;
        // A group of its own keeps signals for the client's group away. It stays in the client's
        // session, or CMD could not have the terminal.
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(Kind::io(
            "give the guard a process group of its own (setpgid)",
        ))?;
        let descriptors = Descriptors::raise();
        let (alarm, mask) = Alarm::new()?;
        reap::next().map_err(Kind::io("look for children (waitpid)"))?;
        tree::check().map_err(Kind::io("find processes in /proc"))?;
        Ok(Self {
            alarm,
            descriptors,
            mask: SignalMask::from(mask),
        })
    }
}
