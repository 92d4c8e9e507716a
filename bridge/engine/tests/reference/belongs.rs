//! Whom a rollout is for, and who joins it later.

use super::model::{Chosen, Member, Model, Target};
use rollcall_engine::{Run, TargetState};

impl Model {
    pub(super) fn is_meant(&self, chosen: &Chosen, robot: usize) -> bool {
        let found = &self.robots[robot];
        let meant = match chosen {
            Chosen::Listed(robots) => robots.contains(&robot),
            Chosen::ByHand(only, _) => *only == robot,
            Chosen::Board(board) => found.ecus.iter().any(|ecu| ecu.board == *board),
            Chosen::Beta => found.beta,
            Chosen::Canary => found.canary,
        };
        meant && !found.removed
    }

    /// Which of the robot's ECUs get what.
    pub(super) fn share(
        &self,
        robot: usize,
        wanted: &[(&'static str, u8)],
        chosen: &Chosen,
    ) -> Vec<(usize, u8)> {
        let ecus = self.robots[robot].ecus.iter().enumerate();
        let ecus = ecus.filter(|(ecu, _)| match chosen {
            Chosen::ByHand(_, only) => ecu == only,
            _ => true,
        });
        let image = |board| wanted.iter().find(|(of, _)| *of == board);
        ecus.filter_map(|(ecu, one)| Some((ecu, image(one.board)?.1)))
            .collect()
    }

    /// Everybody is looked at after everything; the newest launch comes first.
    pub(super) fn take_in(&mut self) {
        for robot in 0..self.robots.len() {
            for r in self.launched().into_iter().rev() {
                if self.joins(r, robot) {
                    self.join(r, robot);
                }
            }
        }
    }

    fn joins(&self, r: usize, robot: usize) -> bool {
        let rollout = &self.rollouts[r];
        let listed = matches!(rollout.chosen, Chosen::Listed(_) | Chosen::ByHand(..));
        let open = matches!(rollout.run(), Some(Run::Running | Run::Paused { .. }));
        let link = self.robots[robot].link.as_ref();
        rollout.mechanism.dynamic
            && !listed
            && open
            && self.now < rollout.deadline
            && link.is_none_or(|link| link.settles.is_none())
            && rollout.members.iter().all(|member| member.robot != robot)
            && self.is_meant(&rollout.chosen, robot)
            && !self
                .share(robot, &rollout.wanted, &rollout.chosen)
                .is_empty()
    }

    /// It comes into the last phase. What a newer launch has is that one's.
    fn join(&mut self, r: usize, robot: usize) {
        let now = self.now;
        let rollout = &self.rollouts[r];
        let share = self.share(robot, &rollout.wanted, &rollout.chosen);
        let order = |of: usize| (self.rollouts[of].launched, of);
        let mut newer: Vec<_> = (0..self.rollouts.len())
            .filter(|of| !self.rollouts[*of].members.is_empty() && order(*of) > order(r))
            .collect();
        newer.sort_by_key(|of| std::cmp::Reverse(order(*of)));
        let mut targets = Vec::new();
        for (ecu, version) in share {
            let has = |of: &&usize| {
                let members = self.rollouts[**of].members.iter();
                let mut mine = members.filter(|member| member.robot == robot);
                mine.any(|member| member.targets.iter().any(|target| target.ecu == ecu))
            };
            let mut target = Target::new(ecu, version, now);
            if let Some(by) = newer.iter().find(has) {
                let by = u32::try_from(by + 1).expect("worlds are small");
                let by = rollcall_engine::RolloutId(by);
                target.turn(TargetState::Superseded { by }, now);
            }
            targets.push(target);
        }
        let phase = rollout.mechanism.phases.len().saturating_sub(1);
        let member = Member {
            robot,
            phase,
            targets,
        };
        self.supersede(r, std::slice::from_ref(&member));
        self.rollouts[r].members.push(member);
        self.rollouts[r].members.sort_by_key(|member| member.robot);
        self.settle(None);
    }
}
