//! Guessing passwords.

use std::sync::Arc;

use crate::abuse::arena::{Arena, Entry};
use crate::abuse::attack::{Attack, Fault, Findings, Needs};
use crate::abuse::packet::VERSIONS;

pub(super) const ATTACK: Attack = Attack {
    name: "wrong-passwords",
    what: "connects as a robot with wrong passwords",
    needs: Needs::Robots,
    run: |arena| Box::pin(run(arena)),
};

async fn run(arena: Arc<Arena>) -> Result<Findings, Fault> {
    let mut guesses = 0;
    for (robot, round) in arena.robots.iter().cycle().zip(0..arena.effort.connections) {
        let mut connect = robot.connect(VERSIONS[round % 2]);
        connect.password = Some(format!("{round}{}", robot.secret.len()));
        match arena.enter(&connect).await? {
            Entry::Accepted(_) => {
                return Err(Fault::new(format!(
                    "{} is let in with a wrong password",
                    robot.base
                )));
            }
            Entry::Refused(_) | Entry::Closed => guesses += 1,
        }
    }
    Ok(Findings::said(format!("refused {guesses} guesses")).counted(&["connect_refused"], guesses))
}
