//! `rollcall group …`

use super::args::GroupCommand;
use super::client::{Client, paged, segment};
use super::exit::Failure;
use super::output::{Output, confirm, note, sheet, table};
use crate::api::{
    ChangedGroup, CheckedSelector, GroupDetail, GroupView, MembershipView, NewGroup,
    SelectorToCheck,
};
use comfy_table::Table;
use rollcall_engine::{GroupName, RobotId, Selector};
use serde_json::Value;
use std::fmt::Display;

pub(super) fn run(
    command: GroupCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        GroupCommand::Add {
            name,
            robot,
            selector,
        } => add(&name, &robot, selector.as_ref(), client, output),
        GroupCommand::Edit { name, selector } => {
            let changed = ChangedGroup {
                selector: selector.as_str().to_owned(),
            };
            let group: GroupView =
                client.patch(&format!("/groups/{}", segment(&name)), &changed)?;
            print_count(&group, output)
        }
        GroupCommand::Check { selector, robot } => check(&selector, robot, client, output),
        GroupCommand::Ls => list(client, output),
        GroupCommand::Show { name, robot: None } => show(&name, client, output),
        GroupCommand::Show {
            name,
            robot: Some(robot),
        } => {
            let path = format!("/groups/{}/robots/{robot}", segment(&name));
            let membership: MembershipView = client.get(&path)?;
            if output.json {
                return Ok(output.json(&membership)?);
            }
            print_membership(&membership, Some(&name), output)
        }
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

fn add(
    name: &GroupName,
    robots: &[RobotId],
    selector: Option<&Selector>,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let group = NewGroup {
        name: name.to_string(),
        robots: robots.iter().map(ToString::to_string).collect(),
        selector: selector.map(|selector| selector.as_str().to_owned()),
    };
    let group: GroupView = client.post("/groups", &group)?;
    print_count(&group, output)
}

fn print_count(group: &GroupView, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        output.json(group)?;
    } else {
        let count = robots(group.robot_count.unwrap_or_default());
        output.line(format_args!("group {} has {count}", group.name))?;
    }
    if group.selector.is_some() && group.robot_count == Some(0) {
        note("The selector means no robot at present; `rollcall group check` tries others.");
    }
    Ok(())
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let groups = client.all::<GroupView>("/groups")?;
    if output.json {
        return Ok(output.json(&groups)?);
    }
    let mut table = table(["group", "robots", "created", "channel", "selector"]);
    for group in &groups.items {
        let count = group.robot_count.map(|count| count.to_string());
        table.add_row([
            group.name.as_str(),
            count.as_deref().unwrap_or("by selector"),
            &group.created,
            group.channel.as_deref().unwrap_or("-"),
            group.selector.as_deref().unwrap_or("-"),
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
    if let Some(channel) = &group.group.channel {
        sheet.add_row(["channel", channel]);
    }
    if let Some(selector) = &group.group.selector {
        sheet.add_row(["selector", selector]);
    }
    let count = group.group.robot_count.unwrap_or_default();
    sheet.add_row(["robots", &count.to_string()]);
    output.table(sheet)?;
    for robot in &group.robots {
        output.line(robot)?;
    }
    Ok(())
}

fn check(
    selector: &Selector,
    robot: Option<RobotId>,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let asked = SelectorToCheck {
        selector: selector.as_str().to_owned(),
        robot: robot.map(|robot| robot.to_string()),
    };
    let mut checked: CheckedSelector = client.post(&paged("/selectors/check", None), &asked)?;
    while let Some(next) = checked.next.take() {
        let more: CheckedSelector = client.post(&paged("/selectors/check", Some(&next)), &asked)?;
        checked.items.extend(more.items);
        checked.next = more.next;
    }
    if output.json {
        return Ok(output.json(&checked)?);
    }
    if let Some(membership) = &checked.robot {
        return print_membership(membership, None, output);
    }
    output.line(robots(checked.robot_count))?;
    for robot in &checked.items {
        output.line(robot)?;
    }
    Ok(())
}

/// So many robots, in words.
pub(super) fn robots(count: impl Display) -> String {
    let count = count.to_string();
    let s = if count == "1" { "" } else { "s" };
    format!("{count} robot{s}")
}

/// Whether a robot belongs to the group, or is meant by a selector that no group has yet, and the filters that decide it.
fn print_membership(
    membership: &MembershipView,
    group: Option<&str>,
    output: &mut Output,
) -> Result<(), Failure> {
    let robot = &membership.robot;
    let end = if membership.selector.is_some() {
        ":"
    } else {
        ", which lists its robots"
    };
    match (group, membership.member) {
        (Some(group), true) => output.line(format_args!("{robot} is in group {group}{end}"))?,
        (Some(group), false) => {
            output.line(format_args!("{robot} is not in group {group}{end}"))?
        }
        (None, true) => output.line(format_args!("the selector means {robot}:"))?,
        (None, false) => output.line(format_args!("the selector does not mean {robot}:"))?,
    }
    if membership.selector.is_none() {
        return Ok(());
    }
    Ok(output.table(findings(membership))?)
}

/// The filters that decide, and what the robot has there.
pub(super) fn findings(membership: &MembershipView) -> Table {
    let mut table = table(["filter", "holds", "the robot has"]);
    for finding in &membership.decided_by {
        let mut found = finding.found.join(", ");
        if finding.more > 0 {
            found.push_str(&format!(" and {} more", finding.more));
        }
        table.add_row([
            finding.filter.as_str(),
            if finding.holds { "yes" } else { "no" },
            if found.is_empty() { "nothing" } else { &found },
        ]);
    }
    table
}
