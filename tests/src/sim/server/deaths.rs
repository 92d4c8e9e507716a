//! Death and return.

use super::{Batch, Server};
use crate::sim::Broken;
use crate::sim::rows::Rows;
use crate::sim::watch::Watch;
use rollcall_engine::{Input, State, TargetState, Timestamp};
use std::collections::BTreeSet;

impl Server {
    /// The process dies. A batch on its way may have reached the disk; nothing of it leaves either way.
    pub(in crate::sim) fn die(
        &mut self,
        now: u64,
        (mut reached_the_disk, heartbeat_age): (bool, u64),
        watch: &mut Watch,
    ) -> Result<(), Broken> {
        if reached_the_disk && !self.power_is_off {
            reached_the_disk = self.make_durable()?;
        }
        let power_went_in_commit = std::mem::take(&mut self.power_is_off);
        if let (Some(disk), Some(batch), true) = (&mut self.disk, &self.batch, power_went_in_commit)
        {
            // It may be there or not; the check below takes neither more nor less than that.
            let all = self.history.len() + batch.history.len();
            reached_the_disk = disk.lose_power()? == all as u64;
            watch.tally.in_flight(reached_the_disk);
        }
        let moment = match (&self.batch, reached_the_disk) {
            (Some(_), _) if power_went_in_commit => "in a commit",
            (Some(_), true) => "after a commit, before anything left",
            (Some(_), false) => "before a commit",
            (None, _) if !self.queue.is_empty() => "with a full queue",
            (None, _) => "idle",
        };
        watch.tally.died(moment);
        if let Some(state) = &self.state {
            for moment in moments(state) {
                watch.tally.died(moment);
            }
        }
        if let Some(batch) = self.batch.take().filter(|_| reached_the_disk) {
            self.write(batch, watch)?;
        }
        watch.died();
        self.queue.clear();
        // While rollouts run the engine's time is made durable every few seconds.
        if self.heartbeat && !power_went_in_commit {
            let at = Timestamp(now.saturating_sub(heartbeat_age)).max(self.rows.at);
            match &mut self.disk {
                Some(disk) => disk.beat(&mut self.rows, at)?,
                None => self.rows.at = at,
            }
        }
        if let Some(disk) = &mut self.disk {
            if !power_went_in_commit {
                disk.lose_power()?;
            }
            disk.check(&self.rows, &self.history, &self.acknowledged)?;
            watch.tally.power_losses = disk.losses;
            watch.tally.acknowledged = self.acknowledged.len() as u64;
        }
        self.state = None;
        Ok(())
    }

    /// The process is back: recover, then tell the engine that time has passed, in a commit of its own. `false`: the
    /// power went in that.
    pub(in crate::sim) fn start(&mut self, now: u64, watch: &mut Watch) -> Result<bool, Broken> {
        let mut state = self.rows.recover();
        if let Some(disk) = &self.disk {
            let loaded = disk.load()?;
            Rows::of(&loaded).check_same("what was loaded", &Rows::of(&state))?;
            state = loaded;
        }
        self.lost += now.saturating_sub(state.now().0);
        watch.restarted(&state);
        self.state = Some(state);
        let mut batch = Batch::default();
        let down_since = self.rows.at;
        let reply = self.apply(
            now,
            Input::Started {
                down_since,
                base: None,
            },
            &mut batch,
            watch,
        )?;
        reply.map_err(|refusal| Broken(format!("a start was refused: {refusal}")))?;
        self.next_checkpoint = self.next_checkpoint.min(self.history.len() + 1);
        self.batch = Some(batch);
        if !self.make_durable()? {
            return Ok(false);
        }
        if let Some(batch) = self.batch.take() {
            self.write(batch, watch)?;
        }
        Ok(true)
    }
}

/// What else is going on when the process dies.
fn moments(state: &State) -> BTreeSet<&'static str> {
    let mut moments = BTreeSet::new();
    if state.rollouts().any(|rollout| rollout.is_launched()) {
        moments.insert("while a rollout runs");
    }
    for robot in state.robots(None) {
        if robot.link.settled_at.is_some() {
            moments.insert("in a property window");
        }
        if !robot.owed.is_empty() {
            moments.insert("owing a Cancel");
        }
        let Some((_, target)) = state.active_target(robot) else {
            continue;
        };
        moments.insert(match target.state {
            TargetState::Requested => "while a request is unanswered",
            TargetState::Applied | TargetState::Verifying => "while a robot restarts",
            _ => "while a robot installs",
        });
        if target.suspect_until.is_some() {
            moments.insert("during a suspicion");
        }
        if target.cancelling.is_some() {
            moments.insert("while an operation is cancelled");
        }
    }
    moments
}
