//! `rollcall group …`

use super::args::GroupCommand;
use super::client::{Client, paged, segment};
use super::exit::Failure;
use super::output::{Output, confirm, sheet, table};
use crate::api::{GroupDetail, GroupView, NewGroup};
use serde_json::Value;

pub(super) fn run(
    command: GroupCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        GroupCommand::Add { name, robot } => {
            let group = NewGroup {
                name: name.to_string(),
                robots: robot.iter().map(ToString::to_string).collect(),
            };
            let group: GroupView = client.post("/groups", &group)?;
            if output.json {
                return Ok(output.json(&group)?);
            }
            Ok(output.line(format_args!(
                "group {} has {} robots",
                group.name, group.robot_count
            ))?)
        }
        GroupCommand::Ls => list(client, output),
        GroupCommand::Show { name } => show(&name, client, output),
        GroupCommand::Rm { name, confirm: yes } => {
            confirm(
                yes.yes,
                &format!("Remove group {name}? Its robots stay, and running rollouts keep them."),
            )?;
            let removed: Value = client.delete(&format!("/groups/{}", segment(&name)))?;
            if output.json {
                return Ok(output.json(&removed)?);
            }
            Ok(output.line(format_args!("removed group {name}"))?)
        }
    }
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let groups = client.all::<GroupView>("/groups")?;
    if output.json {
        return Ok(output.json(&groups)?);
    }
    let mut table = table(["group", "robots", "created"]);
    for group in &groups.items {
        table.add_row([
            group.name.as_str(),
            &group.robot_count.to_string(),
            &group.created,
        ]);
    }
    Ok(output.table(table)?)
}

fn show(name: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let path = format!("/groups/{}", segment(name));
    let mut group: GroupDetail = client.get(&paged(&path, None))?;
    while let Some(next) = group.next.take() {
        let more: GroupDetail = client.get(&paged(&path, Some(&next)))?;
        group.robots.extend(more.robots);
        group.next = more.next;
    }
    if output.json {
        return Ok(output.json(&group)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["group", &group.group.name]);
    sheet.add_row(["created", &group.group.created]);
    sheet.add_row(["robots", &group.group.robot_count.to_string()]);
    output.table(sheet)?;
    for robot in &group.robots {
        output.line(robot)?;
    }
    Ok(())
}
