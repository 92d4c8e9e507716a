//! `rollcall robot cancel` and `rollcall robot property …`, and what `robot show` says of an Edgehog device.

use super::args::PropertyCommand;
use super::client::{Client, segment};
use super::exit::Failure;
use super::output::{Output, or_dash, table};
use crate::api::{
    CancelWhat, CancellingView, DeviceView, NewProperty, RobotView, ServerProperties, SettingView,
    ValueView,
};
use rollcall_proto::edgehog::INTERFACE_PREFIX;
use serde_json::Value;

pub(super) fn cancel(
    id: &str,
    all: bool,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let path = format!("/robots/{}/cancel", segment(id));
    let robot: RobotView = client.post(&path, &CancelWhat { all })?;
    if output.json {
        return Ok(output.json(&robot)?);
    }
    let Some(operation) = &robot.operation else {
        return Ok(output.line(format_args!("nothing is open on robot {id} any more"))?);
    };
    let wish = operation.cancelling.as_ref().map(cancelling);
    let when = if robot.ready {
        "a Cancel was sent"
    } else {
        "a Cancel is sent when the robot is back"
    };
    output.line(format_args!(
        "rollout {}, {}: {when}; what the robot does decides ({})",
        operation.rollout,
        operation.ecu,
        or_dash(wish.as_deref())
    ))?;
    Ok(())
}

/// Who wants it, and how far it is.
pub(super) fn cancelling(cancelling: &CancellingView) -> String {
    format!(
        "by {} since {}, sent {} times",
        cancelling.by, cancelling.since, cancelling.sent
    )
}

pub(super) fn property(
    command: PropertyCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let (id, change) = match command {
        PropertyCommand::Ls { id } => return list(&id, client, output),
        PropertyCommand::Set {
            id,
            interface,
            path,
            value,
        } => (id, change(interface, path, Value::String(value))),
        PropertyCommand::Unset {
            id,
            interface,
            path,
        } => (id, change(interface, path, Value::Null)),
    };
    let robot: RobotView = client.put(&format!("/robots/{}/properties", segment(&id)), &change)?;
    let items = robot.device.map(|device| device.server_properties);
    let set = ServerProperties {
        robot: id,
        items: items.unwrap_or_default(),
    };
    show(&set, output)
}

const fn change(interface: String, path: String, value: Value) -> NewProperty {
    NewProperty {
        interface,
        path,
        value,
    }
}

fn list(id: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let set = client.get(&format!("/robots/{}/properties", segment(id)))?;
    show(&set, output)
}

fn show(set: &ServerProperties, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json(set)?);
    }
    settings(&set.items, output)
}

fn settings(items: &[SettingView], output: &mut Output) -> Result<(), Failure> {
    let mut table = table(["set by the server", "path", "value", "since"]);
    for setting in items {
        table.add_row([
            short(&setting.interface),
            &setting.path,
            &setting.value,
            &setting.since,
        ]);
    }
    Ok(output.table(table)?)
}

/// What an Edgehog device says of itself, by interface.
pub(super) fn print(device: &DeviceView, output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    let mut interfaces = table(["interface", "version"]);
    for (name, version) in &device.interfaces {
        interfaces.add_row([short(name), version]);
    }
    output.table(interfaces)?;
    for (head, values) in [
        ("property of", &device.properties),
        ("last sent on", &device.datastreams),
    ] {
        if !values.is_empty() {
            output.line("")?;
            print_values(head, values, output)?;
        }
    }
    if device.server_properties.is_empty() {
        return Ok(());
    }
    output.line("")?;
    settings(&device.server_properties, output)
}

fn print_values(head: &str, values: &[ValueView], output: &mut Output) -> Result<(), Failure> {
    let mut table = table([head, "path", "value", "since"]);
    let mut before = None;
    for value in values {
        // Grouped: the interface is named once.
        let repeated = before.replace(&value.interface) == Some(&value.interface);
        table.add_row([
            if repeated {
                ""
            } else {
                short(&value.interface)
            },
            &value.path,
            &plain(&value.value),
            &value.since,
        ]);
    }
    Ok(output.table(table)?)
}

/// Edgehog's own interfaces without their long prefix.
fn short(interface: &str) -> &str {
    interface
        .strip_prefix(INTERFACE_PREFIX)
        .unwrap_or(interface)
}

fn plain(value: &Value) -> String {
    match value {
        // What comes from a robot must not steer the terminal.
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(values) => {
            let pairs = values
                .iter()
                .map(|(key, value)| format!("{key}={}", plain(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
