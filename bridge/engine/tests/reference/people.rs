//! What people do, on both sides.

use super::model::{BOARDS, Chosen};
use super::script::{Script, id, of_beta, reference, robot_id};
use rollcall_engine::{
    Command, EcuName, GroupName, HardwareId, ManualUpdate, Mechanism, OfflinePolicy, RobotEdit,
    RolloutName, RolloutSpec, TargetSelection,
};

impl Script {
    pub(super) fn create(
        &mut self,
        whom: u8,
        image: u8,
        mechanism: &rollcall_engine::Mechanism,
    ) -> Result<(), String> {
        let version = 1 + image % 3;
        let boards = if image < 3 { &BOARDS[..] } else { &BOARDS[..1] };
        let boards = if image < 6 { boards } else { &BOARDS[1..] };
        let listed = || (0..4).filter(|robot| whom >> robot & 1 == 1);
        let (target, chosen) = match whom {
            ..16 => (
                TargetSelection::Robots(listed().map(robot_id).collect()),
                Chosen::Listed(listed().collect()),
            ),
            16 => (
                TargetSelection::Hardware(HardwareId::new(BOARDS[1]).expect("it is a name")),
                Chosen::Board(BOARDS[1]),
            ),
            17 => (
                TargetSelection::Group(GroupName::new("canary").expect("it is a name")),
                Chosen::Canary,
            ),
            _ => (
                TargetSelection::Selector(r#""beta" in tags"#.parse().expect("it is a selector")),
                Chosen::Beta,
            ),
        };
        let images = boards.iter().map(|board| {
            let hardware = HardwareId::new(board).expect("it is a name");
            (hardware, reference(board, version))
        });
        let spec = RolloutSpec {
            name: RolloutName::new("model").expect("it is a name"),
            target,
            images: images.collect(),
            mechanism: mechanism.clone(),
        };
        let reply = self.command(Command::CreateRollout(Box::new(spec)));
        let wanted = boards.iter().map(|board| (*board, version)).collect();
        let taken = self.model.create(mechanism.clone(), wanted, chosen);
        self.both("create", reply.is_ok(), taken)
    }

    pub(super) fn control(&mut self, r: usize, what: usize) -> Result<(), String> {
        let rollout = id(r);
        let (word, command) = match what {
            0 => {
                let accept_drift = true;
                (
                    "launch",
                    Command::LaunchRollout {
                        rollout,
                        accept_drift,
                    },
                )
            }
            1 => ("pause", Command::PauseRollout { rollout }),
            2 | 6 | 7 => ("resume", Command::ResumeRollout { rollout }),
            3 => ("stop", Command::StopRollout { rollout }),
            4 => ("cancel", Command::CancelRollout { rollout }),
            _ => (
                "approve",
                Command::ApprovePhase {
                    rollout,
                    phase: None,
                },
            ),
        };
        let reply = self.command(command);
        let taken = match what {
            0 => {
                self.draw();
                self.model.launch(r)
            }
            1 => self.model.pause_by_operator(r),
            2 | 6 | 7 => self.model.resume(r),
            3 => self.model.stop(r),
            4 => self.model.cancel(r),
            _ => self.model.approve(r),
        };
        self.both(word, reply.is_ok(), taken)
    }

    pub(super) fn mark(&mut self, robot: usize, beta: Option<bool>) -> Result<(), String> {
        let id = robot_id(robot);
        let taken = !self.model.robots[robot].removed;
        let reply = match beta {
            None => self.add_to_canary(vec![id]),
            Some(on) => {
                let tags = of_beta();
                let mut edit = RobotEdit::default();
                match on {
                    true => edit.add_tags = tags,
                    false => edit.remove_tags = tags,
                }
                self.command(Command::EditRobot { robot: id, edit })
            }
        };
        let marked = &mut self.model.robots[robot];
        match beta.filter(|_| taken) {
            Some(on) => marked.beta = on,
            None => marked.canary |= taken,
        }
        self.both("mark", reply.is_ok(), taken)
    }

    pub(super) fn manual(
        &mut self,
        (robot, ecu): (usize, usize),
        (board, version): (usize, u8),
        typed: bool,
        (grace, deadline): (Option<u64>, Option<u64>),
    ) -> Result<(), String> {
        let ecus = &self.model.robots[robot].ecus;
        let ecu = ecu % ecus.len();
        let name = EcuName::new(ecus[ecu].name).expect("it is a name");
        let deadline = deadline.map(|deadline| deadline + 1_043);
        let offline = grace.map(|grace| OfflinePolicy::Fail { grace });
        let confirm = if typed { robot } else { robot + 1 };
        let reply = self.command(Command::ManualUpdate(ManualUpdate {
            robot: robot_id(robot),
            ecu: Some(name),
            image: reference(BOARDS[board], version),
            confirm: robot_id(confirm).to_string(),
            offline,
            deadline,
        }));
        let grace = 300_000;
        let mechanism = Mechanism {
            max_in_progress: 1,
            offline: offline.unwrap_or(OfflinePolicy::Fail { grace }),
            deadline: deadline.unwrap_or(30 * 24 * 3_600_000),
            ..Mechanism::default()
        };
        let image = (BOARDS[board], version);
        let taken = self.model.manual((robot, ecu), image, typed, mechanism);
        self.both("manual", reply.is_ok(), taken)
    }
}
