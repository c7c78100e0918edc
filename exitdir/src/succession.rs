//! Which of several processes that begin to lead at once leads: the one that succeeds the last
//! leader.
//!
//! A lock on the directory cannot decide it, because anybody who may read the directory can take
//! one. Extended attributes (`xattr(7)`) need the right to write there, and of several processes
//! that create the same one (`XATTR_CREATE`, `setxattr(2)`) only one succeeds.
//!
//! So a process creates the attribute that names the last leader's successor. If that exists
//! already and the process in it has died, it creates the attribute for the successor of that one,
//! and so on. Then the directory names it as its leader, and all these attributes are removed. A
//! process that was stopped meanwhile finds another leader than the one that it began with, and
//! takes its attribute back. So it does not matter how long a process stops between two steps.

use std::fs::File;

use log::debug;
use rustix::{
    fs::{XattrFlags, flistxattr, fremovexattr, fsetxattr},
    io::Errno,
};

use crate::life::{self, Lock, Proof};

/// Before the name of the one that is succeeded.
const SUCCESSOR_OF: &str = "user.exitdir.successor-of.";

/// Each try after the first means that another process has made a step. More of them are a circle
/// of attributes, or one that does not name a process.
const TRIES: usize = 1000;

/// Longer than the names of all attributes, `XATTR_LIST_MAX` of `linux/limits.h`.
const LONGEST_LIST: usize = 64 * 1024;

/// Makes the process with this lock the leader. Returns false if there is another one.
///
/// # Errors
/// Those of `setxattr(2)`, and `ELOOP` if the attributes are not as leaders leave them.
pub(crate) fn succeed(dir: &File, lock: &Lock) -> Result<bool, Errno> {
    for _ in 0..TRIES {
        let last = life::last(dir);
        let Some(attribute) = free_attribute(dir, last.as_ref())? else {
            return Ok(false);
        };
        match fsetxattr(
            dir,
            &attribute,
            lock.to_string().as_bytes(),
            XattrFlags::CREATE,
        ) {
            Err(Errno::EXIST) => continue,
            created => created?,
        }
        let announced = (life::last(dir) == last).then(|| life::announce(dir, Some(lock)));
        match announced {
            Some(Ok(())) => {
                remove_all(dir);
                return Ok(true);
            }
            Some(Err(error)) => {
                remove(dir, &attribute);
                return Err(error);
            }
            None => remove(dir, &attribute),
        }
    }
    Err(Errno::LOOP)
}

/// The attribute for the first successor that there is not yet, or `None` if the last leader or one
/// of its successors lives.
fn free_attribute(dir: &File, last: Option<&Proof>) -> Result<Option<String>, Errno> {
    let mut before = last.cloned();
    for _ in 0..TRIES {
        let name = match &before {
            // The lock on the directory has already been tried.
            None | Some(Proof::Directory) => "nobody".to_owned(),
            Some(Proof::File(lock)) if lock.is_held_or_unknown() => return Ok(None),
            Some(Proof::File(lock)) => lock.to_string().replace(' ', "."),
        };
        let attribute = format!("{SUCCESSOR_OF}{name}");
        match life::named(dir, &attribute) {
            Some(successor) => before = Some(successor),
            None => return Ok(Some(attribute)),
        }
    }
    Err(Errno::LOOP)
}

/// The directory names a living leader now, so none of these attributes counts any more.
fn remove_all(dir: &File) {
    let mut names = vec![0; LONGEST_LIST];
    let length = flistxattr(dir, &mut names[..]).unwrap_or(0);
    for name in names[..length].split(|byte| *byte == 0) {
        if let Ok(name) = str::from_utf8(name)
            && name.starts_with(SUCCESSOR_OF)
        {
            remove(dir, name);
        }
    }
}

/// One that stays does no harm: it succeeds a leader that is no longer the last.
fn remove(dir: &File, attribute: &str) {
    if let Err(error) = fremovexattr(dir, attribute) {
        debug!("cannot remove the attribute {attribute}: {error}");
    }
}
