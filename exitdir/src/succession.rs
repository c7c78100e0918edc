//! Which of several processes that begin to lead at once leads: the one that succeeds the last
//! leader.
//!
//! A lock on the directory cannot decide it, because anybody who may read the directory can take
//! one. Extended attributes (`xattr(7)`) need the right to write there, and of several processes
//! that create the same one (`XATTR_CREATE`, `setxattr(2)`) only one succeeds.
//!
//! So there is a line of attributes. The first says who succeeds the last leader; if that process
//! has died, the next says who succeeds it, and so on. A process that finds no living one in the
//! line creates the attribute that is missing at its end. Then it goes through the line again, from
//! the one who is the last leader now. If it finds itself first, it leads, and the directory names
//! it as its leader.
//!
//! It does not matter how long a process stops between two steps. Attributes are removed only by a
//! living leader that the directory names already. A process that creates one later reads the
//! leader's name after that, and so finds this leader. No name is used twice.
//!
//! A process without a file of its own needs the lock that keeps leaders out. Others know that it
//! has died if they have that lock now.

use std::fs::File;

use log::debug;
use rustix::{
    fs::{XattrFlags, flistxattr, fremovexattr, fsetxattr},
    io::Errno,
};

use crate::life::{self, Proof};

/// Before the name of the one that is succeeded.
const SUCCESSOR_OF: &str = "user.exitdir.successor-of.";

/// One try creates the attribute, and the next one finds it. In each of the others, another process
/// was faster.
const TRIES: usize = 1000;

/// A longer line counts as a circle.
const LONGEST_LINE: usize = 1000;

/// The limit of all names together, `XATTR_LIST_MAX` of `linux/limits.h`.
const LONGEST_LIST: usize = 64 * 1024;

/// The end of the line, as far as it counts.
enum End {
    /// The first process in it that lives.
    Living(Proof),
    /// The attribute for the next one. There is nobody, or all have died.
    Free(String),
}

/// Makes this process the leader. It has locked the directory for followers, and `is_alone` says
/// whether it also holds the lock that keeps leaders out. Returns false if another process leads,
/// or is about to. What this one has created stays.
///
/// # Errors
/// Those of `setxattr(2)`, and `ELOOP` if the attributes are not as leaders leave them.
pub(crate) fn succeed(dir: &File, own: &Proof, is_alone: bool) -> Result<bool, Errno> {
    if !life::has_attributes(dir) {
        return if is_alone {
            life::announce(dir, own).map(|()| true)
        } else {
            Ok(false)
        };
    }
    for _ in 0..TRIES {
        let attribute = match end_of_line(dir, own, is_alone)? {
            End::Living(first) if first != *own => return Ok(false),
            End::Living(_) => {
                life::announce(dir, own)?;
                remove_line(dir);
                return Ok(true);
            }
            End::Free(attribute) => attribute,
        };
        let value = own.to_string();
        match fsetxattr(dir, &attribute, value.as_bytes(), XattrFlags::CREATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(_) if is_led(dir) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP)
}

fn is_led(dir: &File) -> bool {
    life::living(dir).is_ok_and(|living| matches!(living, Some(Proof::File(_))))
}

/// Begins with the last leader. So whoever has created an attribute sees in the next try whether
/// there is a newer one.
fn end_of_line(dir: &File, own: &Proof, is_alone: bool) -> Result<End, Errno> {
    let mut before = life::last(dir);
    for _ in 0..LONGEST_LINE {
        if let Some(proof) = before.take_if(|proof| proof == own || lives(dir, proof, is_alone)) {
            return Ok(End::Living(proof));
        }
        let name = before.map_or_else(|| "nobody".to_owned(), |proof| proof.to_string());
        let attribute = format!("{SUCCESSOR_OF}{}", name.replace(' ', "."));
        match life::named(dir, &attribute) {
            None => return Ok(End::Free(attribute)),
            successor => before = successor,
        }
    }
    Err(Errno::LOOP)
}

/// One without a file of its own has the lock that keeps leaders out until it dies.
fn lives(dir: &File, proof: &Proof, is_alone: bool) -> bool {
    match proof {
        Proof::Directory(_) => !is_alone,
        Proof::File(_) => life::lives(dir, proof).unwrap_or(true),
    }
}

/// The directory names a living leader now, so the line counts no more.
fn remove_line(dir: &File) {
    let mut names = vec![0; LONGEST_LIST];
    let length = flistxattr(dir, &mut names[..]).unwrap_or(0);
    for name in names[..length].split(|byte| *byte == 0) {
        let Ok(name) = str::from_utf8(name) else {
            continue;
        };
        if name.starts_with(SUCCESSOR_OF)
            && let Err(error) = fremovexattr(dir, name)
        {
            debug!("cannot remove the attribute {name}: {error}");
        }
    }
}
