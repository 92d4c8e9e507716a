//! Commits: what becomes durable, and what may leave then.

use super::{Batch, CHECKPOINT, Leaving, Server, is_native};
use crate::sim::Broken;
use crate::sim::rows::changes;
use crate::sim::watch::Watch;
use rollcall::records;
use rollcall_engine::{Effect, Timestamp};

/// The time is made durable at least so often while rollouts run; milliseconds.
const HEARTBEAT: u64 = 5_000;

impl Server {
    /// Commits the batch. Returns what may leave now, in the order in which it leaves, unless the power went.
    pub(in crate::sim) fn committed(
        &mut self,
        watch: &mut Watch,
    ) -> Result<Option<Vec<Leaving>>, Broken> {
        if !self.make_durable()? {
            return Ok(None);
        }
        let Some(batch) = self.batch.take() else {
            return Ok(Some(Vec::new()));
        };
        let leaving = self.write(batch, watch)?;
        let (settled, rest): (Vec<_>, Vec<_>) = leaving
            .into_iter()
            .partition(|one| matches!(one, Leaving::Settled { .. } | Leaving::HangUp { .. }));
        let (acks, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|one| matches!(one, Leaving::Effect(Effect::Acknowledge { .. })));
        Ok(Some(settled.into_iter().chain(rest).chain(acks).collect()))
    }

    /// While a server with a real disk was up, it was made durable all the time how late it is.
    pub(super) fn beat(&mut self, now: u64) -> Result<(), Broken> {
        let before = Timestamp(now.saturating_sub(HEARTBEAT));
        match &mut self.disk {
            Some(disk) if self.heartbeat && before > self.rows.at => {
                disk.beat(&mut self.rows, before)
            }
            _ => Ok(()),
        }
    }

    /// Hands the batch to the real disk, where there is one. `false`: the power went.
    pub(super) fn make_durable(&mut self) -> Result<bool, Broken> {
        let (Some(disk), Some(state)) = (&mut self.disk, &self.state) else {
            return Ok(true);
        };
        let batch = self.batch.as_ref();
        let Some(batch) = batch.filter(|batch| !batch.history.is_empty()) else {
            return Ok(true);
        };
        let head = (state.now(), records::encode_counters(state.counters()));
        let rows = changes(state, &batch.touched).collect();
        let durable = disk.commit(head, rows, &batch.history)?;
        self.power_is_off = !durable;
        Ok(durable)
    }

    pub(super) fn write(
        &mut self,
        batch: Batch,
        watch: &mut Watch,
    ) -> Result<Vec<Leaving>, Broken> {
        if let Some(state) = self.state.as_ref().filter(|_| !batch.history.is_empty()) {
            self.rows.commit(state, &batch.touched);
            self.heartbeat = state.rollouts().any(|rollout| rollout.is_launched());
            self.history.extend(batch.history);
            let robots = state.counters().robots as usize;
            if self.history.len() >= self.next_checkpoint {
                self.checkpoints
                    .push((self.history.len(), self.rows.clone()));
                // Fewer and fewer, since each costs a look at everything.
                self.next_checkpoint += CHECKPOINT + 10 * robots + self.history.len() / 8;
            }
            for event in batch.events {
                let native = is_native(&event);
                if !self.durable.insert(event.clone()) && native {
                    return Err(Broken(format!(
                        "design 2: an event is recorded twice: {}",
                        event.0
                    )));
                }
            }
        }
        watch.committed();
        Ok(batch.leaving)
    }
}
