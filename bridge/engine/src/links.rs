//! Connections: a robot is told things only on a live connection on which it listens and has introduced itself.

use crate::inventory::{Link, RobotKey};
use crate::outcome::{Reply, Row};
use crate::rollout::{RolloutId, RolloutStatus};
use crate::state::{Changes, State};
use crate::time::Millis;

impl State {
    pub(crate) fn connected(
        &mut self,
        key: RobotKey,
        connection: u64,
        changes: &mut Changes,
    ) -> Reply {
        let now = self.now;
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link = Link {
                connection: Some(connection),
                since: now,
                ..Link::default()
            };
            robot.cursor.last_seen = now;
            changes.touch(Row::Cursor(key));
        }
        self.refresh_ready(key);
        // A report that an overdue operation waited for will not come any more.
        self.arm(key);
        Reply::Done
    }

    pub(crate) fn disconnected(
        &mut self,
        key: RobotKey,
        connection: u64,
        changes: &mut Changes,
    ) -> Reply {
        let now = self.now;
        // A connection that was taken over has nothing to say about its successor.
        let Some(robot) = self
            .robots
            .get_mut(&key)
            .filter(|r| r.link.connection == Some(connection))
        else {
            return Reply::Stale;
        };
        robot.link = Link::offline(now);
        robot.cursor.last_seen = now;
        changes.touch(Row::Cursor(key));
        self.refresh_ready(key);
        self.arm(key);
        Reply::Done
    }

    pub(crate) fn subscribed(
        &mut self,
        key: RobotKey,
        connection: u64,
        subscribed: bool,
        changes: &mut Changes,
    ) -> Reply {
        let Some(robot) = self
            .robots
            .get_mut(&key)
            .filter(|r| r.link.connection == Some(connection) && (r.link.subscribed || subscribed))
        else {
            return Reply::Stale;
        };
        robot.link.subscribed = subscribed;
        self.became_ready(key, changes);
        Reply::Done
    }

    /// To be called when something that readiness depends on has changed. A repeated subscription counts: it may be the
    /// one that the request under way needs.
    pub(crate) fn became_ready(&mut self, key: RobotKey, changes: &mut Changes) {
        self.send_owed(key, changes);
        self.send_due_cancel(key, changes);
        self.resend_unanswered(key, changes);
        self.refresh_ready(key);
        self.offer(key, changes);
    }

    /// The server was down for `downtime`: nobody could be heard, so every running deadline moves on by it.
    pub(crate) fn started(&mut self, downtime: Millis, changes: &mut Changes) -> Reply {
        let now = self.now;
        self.started = now;
        let robots: Vec<_> = self.robots.keys().collect();
        for key in robots {
            let Some(robot) = self.robots.get_mut(&key) else {
                continue;
            };
            if robot.link.connection.is_some() {
                robot.link = Link::offline(now);
                self.refresh_ready(key);
            }
            self.extend_active(key, downtime, changes);
        }
        let rollouts: Vec<_> = self.rollouts.keys().copied().collect();
        for id in rollouts {
            self.extend_rollout(id, downtime, changes);
        }
        self.ensure_production(changes);
        Reply::Done
    }

    fn extend_active(&mut self, key: RobotKey, downtime: Millis, changes: &mut Changes) {
        let Some((id, index)) = self.robots.get(&key).and_then(|robot| robot.active) else {
            return;
        };
        if let Some(target) = self.target_mut(id, key, index) {
            target.deadline = target.deadline.map(|at| at.after(downtime));
            target.suspect_until = target.suspect_until.map(|at| at.after(downtime));
            changes.touch(Row::Member(id, key));
        }
    }

    fn extend_rollout(&mut self, id: RolloutId, downtime: Millis, changes: &mut Changes) {
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        if let RolloutStatus::Launched { deadline, .. } = &mut rollout.status {
            let later = deadline.after(downtime);
            // An end is a time on the clock, and stays.
            *deadline = rollout
                .mechanism
                .schedule
                .end
                .map_or(later, |end| end.min(later));
            changes.touch(Row::Rollout(id));
            self.arm_rollout(id);
        }
    }
}
