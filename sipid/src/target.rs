//! What a kill ends: one process, or the process group that it leads.

use std::time::Instant;

use log::info;

use crate::{
    Pid, Signal,
    error::{Kind, While},
};
use coord_process::{Process, procfs};

pub(crate) struct Target {
    leader: Pid,
    processes: Vec<Process>,
    group: bool,
}

impl Target {
    pub(crate) fn new(process: Process, group: bool) -> Result<Self, Kind> {
        let leader = process.pid();
        if group && procfs::stat(leader).is_none_or(|stat| stat.group != leader.raw()) {
            return Err(Kind::NotLeader(leader));
        }
        Ok(Self {
            leader,
            processes: vec![process],
            group,
        })
    }

    /// Sends the signal to all processes that are left, and CONT to stopped ones, which would not
    /// handle it otherwise.
    pub(crate) fn send(&mut self, signal: Signal) -> Result<(), Kind> {
        self.find_members()?;
        for process in &self.processes {
            let pid = process.pid();
            let failed = |error| Kind::Signal(signal, pid, error);
            if process.send(signal.raw()).map_err(failed)? {
                info!("sent {signal} to process {pid}");
            }
            if !matches!(signal, Signal::KILL | Signal::STOP | Signal::CONT) && process.is_stopped()
            {
                process.send(Signal::CONT.raw()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Waits until all processes have ended, or until the deadline. Returns true if all have ended.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, Kind> {
        loop {
            if !self.processes.iter().all(|process| process.wait(deadline)) {
                return Ok(false);
            }
            self.find_members()?;
            if self.processes.iter().all(|process| !process.is_alive()) {
                return Ok(true);
            }
        }
    }

    /// The PIDs of the processes that are left.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.processes
            .iter()
            .filter(|process| process.is_alive())
            .map(Process::pid)
            .collect()
    }

    /// Finds new members of the group. While a known member is alive, the group's number is not
    /// reused. After that, a new group gets it only once the kernel has used all other numbers.
    fn find_members(&mut self) -> Result<(), Kind> {
        if !self.group {
            return Ok(());
        }
        self.processes.retain(Process::is_alive);
        let is_member =
            |pid: Pid| procfs::stat(pid).is_some_and(|stat| stat.group == self.leader.raw());
        let mut found = Vec::new();
        for pid in procfs::processes().filter(|&pid| is_member(pid)) {
            let known = self.processes.iter().any(|process| process.pid() == pid);
            let process = Process::find(pid).during("look for the process of")?;
            // Checked again: the handle may belong to a later process with the PID.
            found.extend(process.filter(|process| !known && is_member(process.pid())));
        }
        self.processes.extend(found);
        Ok(())
    }
}
