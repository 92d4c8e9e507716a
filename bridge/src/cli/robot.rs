//! `rollcall robot …`

use super::args::{AddRobot, HistoryArgs, LabelCommand, RobotCommand, TagCommand};
use super::client::{Client, segment};
use super::device;
use super::exit::Failure;
use super::output::{Output, confirm, note, or_dash, sheet, table};
use crate::api::{CredentialsView, EcuView, NewEcu, NewRobot, RegisteredRobot, RobotView};
use comfy_table::Table;
use rollcall_engine::{CredentialsStatus, Hold, RobotEdit};
use serde_json::Value;

pub(super) fn run(
    command: RobotCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        RobotCommand::Add(args) => add(args, client, output),
        RobotCommand::Ls => list(client, output),
        RobotCommand::Show { id } => show(&id, client, output),
        RobotCommand::Rm { id, confirm: yes } => {
            confirm(
                yes.yes,
                &format!("Remove robot {id}? Its open operations are cancelled."),
            )?;
            let removed: Value = client.delete(&format!("/robots/{}", segment(&id)))?;
            if output.json {
                return Ok(output.json(&removed)?);
            }
            Ok(output.line(format_args!("removed robot {id}"))?)
        }
        RobotCommand::Cancel { id, all } => device::cancel(&id, all, client, output),
        RobotCommand::Update(args) => super::update::update(args, client, output),
        RobotCommand::Property(command) => device::property(command, client, output),
        RobotCommand::Tag(TagCommand::Add { id, tag }) => {
            let add_tags = tag.into_iter().collect();
            let edit = RobotEdit {
                add_tags,
                ..RobotEdit::default()
            };
            edit_words(&id, &edit, client, output)
        }
        RobotCommand::Tag(TagCommand::Rm { id, tag }) => {
            let remove_tags = tag.into_iter().collect();
            let edit = RobotEdit {
                remove_tags,
                ..RobotEdit::default()
            };
            edit_words(&id, &edit, client, output)
        }
        RobotCommand::Label(LabelCommand::Set { id, label }) => {
            let set_labels = label.into_iter().collect();
            let edit = RobotEdit {
                set_labels,
                ..RobotEdit::default()
            };
            edit_words(&id, &edit, client, output)
        }
        RobotCommand::Label(LabelCommand::Rm { id, key }) => {
            let remove_labels = key.into_iter().collect();
            let edit = RobotEdit {
                remove_labels,
                ..RobotEdit::default()
            };
            edit_words(&id, &edit, client, output)
        }
        RobotCommand::Accept { id } => {
            let path = format!("/robots/{}/accept", segment(&id));
            let robot: RobotView = client.post(&path, &serde_json::json!({}))?;
            if output.json {
                return Ok(output.json(&robot)?);
            }
            print_ecus(&robot.ecus, output)
        }
        RobotCommand::Credentials(command) => super::credentials::run(command, client, output),
        RobotCommand::History { id, page } => history(&id, &page, client, output),
    }
}

fn add(args: AddRobot, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let only = args.ecu.len() == 1;
    let ecu = |ecu: super::args::Ecu| NewEcu {
        name: ecu.name.to_string(),
        hardware_id: ecu.hardware_id.to_string(),
        // The only ECU cannot be anything else.
        primary: ecu.primary || only,
    };
    let robot = NewRobot {
        id: args.id.to_string(),
        name: args.name,
        model: args.model.map(|model| model.to_string()),
        labels: args.label.into_iter().collect(),
        tags: args.tag.into_iter().collect(),
        ecus: args.ecu.into_iter().map(ecu).collect(),
    };
    let registered: RegisteredRobot = client.post("/robots", &robot)?;
    if output.json {
        return Ok(output.json(&registered)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["robot", &registered.robot.id]);
    sheet.add_row(["client id", &registered.client_id]);
    sheet.add_row(["user name", &registered.username]);
    sheet.add_row(["credentials secret", &registered.credentials_secret]);
    output.table(sheet)?;
    note("The secret is not stored and will not be shown again.");
    Ok(())
}

fn edit_words(
    id: &str,
    edit: &RobotEdit,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let robot: RobotView = client.patch(&format!("/robots/{}", segment(id)), edit)?;
    if output.json {
        return Ok(output.json(&robot)?);
    }
    let mut sheet = sheet();
    words(&robot, &mut sheet);
    Ok(output.table(sheet)?)
}

/// What people say of a robot.
fn words(robot: &RobotView, sheet: &mut Table) {
    let labels = robot.labels.iter();
    let labels = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    sheet.add_row(["labels", &listed(labels)]);
    sheet.add_row(["tags", &listed(robot.tags.iter().cloned().collect())]);
}

fn listed(texts: Vec<String>) -> String {
    if texts.is_empty() {
        "-".to_owned()
    } else {
        texts.join(", ")
    }
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let robots = client.all::<RobotView>("/robots")?;
    if output.json {
        return Ok(output.json(&robots)?);
    }
    let mut table = table(["robot", "model", "online", "status", "ecus", "groups"]);
    for robot in &robots.items {
        let groups: Vec<_> = robot.groups.iter().map(String::as_str).collect();
        table.add_row([
            robot.id.as_str(),
            or_dash(robot.model.as_deref()),
            if robot.online { "yes" } else { "no" },
            &robot.status,
            &robot.ecus.len().to_string(),
            or_dash(Some(&groups.join(", "))),
        ]);
    }
    Ok(output.table(table)?)
}

fn show(id: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let robot: RobotView = client.get(&format!("/robots/{}", segment(id)))?;
    if output.json {
        return Ok(output.json(&robot)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["robot", &robot.id]);
    sheet.add_row(["name", &robot.name]);
    sheet.add_row(["model", or_dash(robot.model.as_deref())]);
    words(&robot, &mut sheet);
    sheet.add_row(["groups", &listed(robot.groups.iter().cloned().collect())]);
    sheet.add_row(["status", &robot.status]);
    let presence = if robot.online { "online" } else { "offline" };
    let since = robot
        .online_since
        .as_ref()
        .map(|since| format!(" since {since}"))
        .unwrap_or_default();
    sheet.add_row(["presence", &format!("{presence}{since}")]);
    sheet.add_row(["protocol", or_dash(robot.protocol.as_deref())]);
    sheet.add_row(["registered", &robot.registered]);
    sheet.add_row(["credentials", &credentials_text(&robot.credentials)]);
    if let Some(operation) = &robot.operation {
        let what = format!(
            "rollout {}, {}: {} (attempt {})",
            operation.rollout,
            operation.ecu,
            super::rollout::tables::state_text(&operation.state),
            operation.attempt
        );
        sheet.add_row(["operation", &what]);
        if let Some(downloads) = &operation.downloads {
            let downloads = super::rollout::tables::downloads_text(downloads);
            sheet.add_row(["downloaded", &downloads]);
        }
        if let Some(cancelling) = &operation.cancelling {
            sheet.add_row(["being cancelled", &device::cancelling(cancelling)]);
        }
    }
    if let Some(refusal) = &robot.last_refusal {
        sheet.add_row([
            "last refusal",
            &format!("{} at {}: {}", refusal.code, refusal.at, refusal.message),
        ]);
    }
    output.table(sheet)?;
    output.line("")?;
    print_ecus(&robot.ecus, output)?;
    match &robot.device {
        Some(device) => device::print(device, output),
        None => Ok(()),
    }
}

/// Why an ECU gets nothing.
fn held(hold: &Hold) -> String {
    match hold {
        Hold::NotDeclared => "yes, the robot does not declare it".to_owned(),
        Hold::DeclaredAs { hardware_id, .. } => format!("yes, the robot declares {hardware_id}"),
        Hold::OtaDisabled => "yes, the device's runtime has OTA disabled".to_owned(),
        Hold::InterfaceVersion { interface, found } => {
            format!("yes, it has {interface} {}.{}", found.major, found.minor)
        }
        Hold::PartNumber { found } => format!("yes, part number {found:?} is no hardware id"),
    }
}

/// What lets a robot in, in a line.
pub(super) fn credentials_text(credentials: &CredentialsView) -> String {
    let status = match credentials.status {
        CredentialsStatus::Pending => "pending".to_owned(),
        CredentialsStatus::Confirmed => "confirmed".to_owned(),
        CredentialsStatus::Inhibited => {
            let since = or_dash(credentials.inhibited.as_deref());
            format!("inhibited since {since}")
        }
    };
    match &credentials.certificate {
        None => format!("{status}, no certificate"),
        Some(certificate) => format!(
            "{status}, certificate {} until {}",
            certificate.serial, certificate.not_after
        ),
    }
}

fn print_ecus(ecus: &[EcuView], output: &mut Output) -> Result<(), Failure> {
    if ecus.is_empty() {
        return Ok(output.line(
            "no ECU yet: the device has not said its part number (SystemInfo); rollouts skip it until it does",
        )?);
    }
    let mut table = table(["ecu", "hardware id", "rank", "runs", "hold"]);
    for ecu in ecus {
        table.add_row([
            ecu.name.as_str(),
            &ecu.hardware_id,
            if ecu.primary { "primary" } else { "secondary" },
            &runs(ecu),
            &ecu.hold.as_ref().map_or_else(|| "-".to_owned(), held),
        ]);
    }
    Ok(output.table(table)?)
}

fn runs(ecu: &EcuView) -> String {
    match &ecu.reported {
        None => "-".to_owned(),
        Some(reported) if reported.name.is_empty() => reported.version.clone(),
        Some(reported) => format!("{}@{}", reported.name, reported.version),
    }
}

/// The path of a history with its page.
pub(super) fn history_path(of: &str, page: &HistoryArgs) -> String {
    let before = page
        .before
        .map(|before| format!("&before={before}"))
        .unwrap_or_default();
    format!("{of}/history?limit={}{before}", page.limit)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("-")
}

/// The records of a history.
pub(super) fn print_records(history: &Value, output: &mut Output) -> Result<(), Failure> {
    let mut table = table(["seq", "when", "kind", "by", "what"]);
    for record in history
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let at = record
            .get("at_ms")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        table.add_row([
            record.get("seq").map(Value::to_string).unwrap_or_default(),
            crate::api::rfc3339(rollcall_engine::Timestamp(at)),
            text(record, "kind").to_owned(),
            text(record, "by").to_owned(),
            text(record, "text").to_owned(),
        ]);
    }
    output.table(table)?;
    if let Some(next) = history.get("next").filter(|next| !next.is_null()) {
        note(format_args!("older records: --before {next}"));
    }
    Ok(())
}

fn history(
    id: &str,
    page: &HistoryArgs,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let history: Value = client.get(&history_path(&format!("/robots/{}", segment(id)), page))?;
    if output.json {
        return Ok(output.json(&history)?);
    }
    let mut table = table([
        "rollout",
        "name",
        "status",
        "outcome",
        "this robot",
        "launched",
    ]);
    for rollout in history
        .get("rollouts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        table.add_row([
            rollout
                .get("rollout")
                .map(Value::to_string)
                .unwrap_or_default(),
            text(rollout, "name").to_owned(),
            text(rollout, "status").to_owned(),
            text(rollout, "outcome").to_owned(),
            text(rollout, "progress").to_owned(),
            text(rollout, "launched").to_owned(),
        ]);
    }
    output.table(table)?;
    output.line("")?;
    print_records(&history, output)
}
