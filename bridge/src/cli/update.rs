//! `rollcall robot update`: one robot past its model and the rules for versions (requirements E19 to E21).

use super::args::UpdateArgs;
use super::client::{Client, segment};
use super::exit::Failure;
use super::output::{Output, note};
use crate::api::{RolloutView, UpdateByHand};
use std::io::{self, IsTerminal, Write};

pub(super) fn update(
    args: UpdateArgs,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let robot = args.id;
    note(format_args!(
        "An update by hand passes the check of the robot's model and every rule for versions, downgrades too. Unless\n\
         the robot checks the image for itself it can make {robot} unusable. The hardware id is still checked."
    ));
    let confirm = args.confirm.map_or_else(|| typed(&robot), Ok)?;
    let path = format!("/robots/{}/update", segment(&robot));
    let wish = UpdateByHand {
        image: args.image.to_string(),
        ecu: args.ecu,
        confirm,
        offline: args.offline,
        deadline: args.deadline,
    };
    let rollout: RolloutView = client.post(&path, &wish)?;
    if output.json {
        return Ok(output.json(&rollout)?);
    }
    let id = rollout.id;
    output.line(format_args!(
        "rollout {id} is launched: {} for {robot}",
        wish.image
    ))?;
    note(format_args!(
        "Follow it with `rollcall rollout watch {id}`; `rollcall rollout why {id} {robot}` says what it waits for."
    ));
    Ok(())
}

/// What somebody at the terminal types; whether it is right the server decides.
fn typed(robot: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        let message = format!(
            "there is no terminal to type the robot's id on; confirm with --confirm {robot}"
        );
        return Err(Failure::usage(message));
    }
    let mut err = io::stderr().lock();
    let _ =
        write!(err, "Type the robot's id to update it all the same: ").and_then(|()| err.flush());
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::usage(format!("the answer cannot be read: {error}")))?;
    Ok(answer.trim().to_owned())
}
