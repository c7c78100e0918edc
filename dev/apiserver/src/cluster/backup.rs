//! Backs etcd up, and restores an earlier state of it.

use std::{fs, path::Path, process::Command};

use super::{Cluster, ETCD};
use crate::Result;

impl Cluster {
    /// Copies etcd's data into a new directory. Both servers are killed for that, and started
    /// again.
    ///
    /// # Errors
    /// Those of [`restart`](Self::restart), and those of copying.
    pub fn back_up(&mut self, to: &Path) -> Result {
        self.kill();
        copy(&self.directory.join(ETCD), to)?;
        self.restart()
    }

    /// Replaces etcd's data by a copy, as a restored backup does.
    ///
    /// # Errors
    /// As [`back_up`](Self::back_up).
    pub fn restore(&mut self, from: &Path) -> Result {
        self.kill();
        let data = self.directory.join(ETCD);
        fs::remove_dir_all(&data)?;
        copy(from, &data)?;
        self.restart()
    }
}

fn copy(from: &Path, to: &Path) -> Result {
    let copied = Command::new("cp").arg("-r").args([from, to]).output()?;
    if copied.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&copied.stderr).into())
}
