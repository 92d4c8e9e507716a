//! `rollcall channel …`

use super::args::ChannelCommand;
use super::client::{Client, paged, segment};
use super::exit::Failure;
use super::group::{findings, robots};
use super::ledger;
use super::output::{Output, confirm, note, sheet, table};
use crate::api::{ChangedChannel, ChannelDetail, ChannelMembership, ChannelView, NewChannel};
use rollcall_engine::GroupName;
use serde_json::Value;

pub(super) fn run(
    command: ChannelCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        ChannelCommand::Add { name, group } => {
            let channel = NewChannel {
                name: name.to_string(),
                groups: names(&group),
            };
            print_count(&client.post("/channels", &channel)?, output)
        }
        ChannelCommand::Edit {
            name,
            group,
            add_group,
            remove_group,
            every_robot,
        } => {
            let all = every_robot || !group.is_empty();
            let changed = ChangedChannel {
                groups: all.then(|| names(&group)),
                add_groups: names(&add_group),
                remove_groups: names(&remove_group),
            };
            let path = format!("/channels/{}", segment(&name));
            print_count(&client.patch(&path, &changed)?, output)
        }
        ChannelCommand::Ls => list(client, output),
        ChannelCommand::Show { name, robot: None } => show(&name, client, output),
        ChannelCommand::Show {
            name,
            robot: Some(robot),
        } => {
            let path = format!("/channels/{}/robots/{robot}", segment(&name));
            print_membership(&name, &client.get(&path)?, output)
        }
        ChannelCommand::Source { name, source } => {
            ledger::set_source(&name, source, client, output)
        }
        ChannelCommand::Ledger { name } => ledger::show(&name, client, output),
        ChannelCommand::Sync { name } => ledger::sync(&name, client, output),
        ChannelCommand::Import { name, file } => ledger::import(&name, &file, client, output),
        ChannelCommand::Rm { name, confirm: yes } => {
            let question = format!("Remove channel {name}? Its groups and robots stay.");
            confirm(yes.yes, &question)?;
            let removed: Value = client.delete(&format!("/channels/{}", segment(&name)))?;
            if output.json {
                return Ok(output.json(&removed)?);
            }
            Ok(output.line(format_args!("removed channel {name}"))?)
        }
    }
}

fn names(groups: &[GroupName]) -> Vec<String> {
    groups.iter().map(ToString::to_string).collect()
}

fn print_count(channel: &ChannelView, output: &mut Output) -> Result<(), Failure> {
    let count = channel.robot_count.unwrap_or_default();
    if output.json {
        output.json(channel)?;
    } else {
        output.line(format_args!(
            "channel {} means {}",
            channel.name,
            robots(count)
        ))?;
    }
    if channel.groups.is_empty() {
        note("It has no groups, so it means every robot.");
    } else if count == 0 {
        note("Its groups have no robot at present.");
    }
    Ok(())
}

fn target(channel: &ChannelView) -> String {
    if channel.groups.is_empty() {
        "every robot".to_owned()
    } else {
        channel.groups.join(", ")
    }
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let channels = client.all::<ChannelView>("/channels")?;
    if output.json {
        return Ok(output.json(&channels)?);
    }
    let mut table = table(["channel", "created", "source", "groups"]);
    for channel in &channels.items {
        let source = ledger::source_word(&channel.source);
        table.add_row([
            channel.name.as_str(),
            &channel.created,
            source,
            &target(channel),
        ]);
    }
    Ok(output.table(table)?)
}

fn show(name: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let path = format!("/channels/{}", segment(name));
    let mut detail: ChannelDetail = client.get(&paged(&path, None))?;
    while let Some(next) = detail.next.take() {
        let more: ChannelDetail = client.get(&paged(&path, Some(&next)))?;
        detail.robots.extend(more.robots);
        detail.next = more.next;
    }
    if output.json {
        return Ok(output.json(&detail)?);
    }
    let channel = &detail.channel;
    let mut sheet = sheet();
    sheet.add_row(["channel", &channel.name]);
    sheet.add_row(["created", &channel.created]);
    sheet.add_row(["source", &ledger::source_text(&channel.source)]);
    sheet.add_row(["groups", &target(channel)]);
    let count = channel.robot_count.unwrap_or_default();
    sheet.add_row(["robots", &count.to_string()]);
    output.table(sheet)?;
    if detail.robots.is_empty() {
        return Ok(());
    }
    let mut table = table(["robot", "by group"]);
    for robot in &detail.robots {
        let groups = robot.groups.join(", ");
        let by = if groups.is_empty() {
            "every robot"
        } else {
            &groups
        };
        table.add_row([robot.robot.as_str(), by]);
    }
    Ok(output.table(table)?)
}

fn print_membership(
    name: &str,
    membership: &ChannelMembership,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(membership)?);
    }
    let robot = &membership.robot;
    let verdict = if membership.member { "in" } else { "not in" };
    if membership.groups.is_empty() {
        return Ok(output.line(format_args!(
            "{robot} is {verdict} channel {name}, which means every robot"
        ))?);
    }
    output.line(format_args!("{robot} is {verdict} channel {name}:"))?;
    let mut table = table(["group", "has it", "by"]);
    for group in &membership.groups {
        let has = if group.membership.member { "yes" } else { "no" };
        let by = group.membership.selector.as_deref();
        table.add_row([&group.group, has, by.unwrap_or("its list of robots")]);
    }
    output.table(table)?;
    for group in &membership.groups {
        if group.membership.selector.is_some() {
            output.line(format_args!("\ngroup {}:", group.group))?;
            output.table(findings(&group.membership))?;
        }
    }
    Ok(())
}
