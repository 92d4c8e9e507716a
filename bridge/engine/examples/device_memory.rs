//! How much memory Edgehog devices take: `cargo run --release -p rollcall-engine --example device_memory -- 100000`.
//!
//! Each device has the 26 interfaces and 26 properties of the released runtime, a few of the values its own.
#![allow(clippy::print_stdout, reason = "an example talks")]

use rollcall_engine::{
    Actor, Command, DeviceValue, Input, InterfaceVersion, Interfaces, Report, RobotId, RobotKey,
    RobotSpec, State, Timestamp, Value,
};
use std::collections::{BTreeMap, BTreeSet};

const PROPERTIES: usize = 26;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_usize) * 4_096
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let devices: u32 = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    let mut state = State::default();
    for number in 1..=devices {
        let spec = RobotSpec {
            id: RobotId::new(&format!("robot-{number}"))?,
            name: None,
            model: None,
            labels: BTreeMap::new(),
            tags: BTreeSet::new(),
            ecus: Vec::new(),
            secret: [0; 32],
        };
        let by = Actor("example".to_owned());
        let command = Command::AddRobot(spec);
        state
            .apply(Timestamp(1), Input::Command { by, command })
            .reply?;
    }
    let before = resident_bytes();
    let name = |n: usize| format!("io.edgehog.devicemanager.Interface{n}");
    let interfaces: Interfaces = (0..26)
        .map(|n| (name(n).into(), InterfaceVersion { major: 0, minor: 1 }))
        .collect();
    for number in 1..=devices {
        let robot = RobotKey(number);
        let report = Report::Introspection(interfaces.clone());
        state
            .apply(Timestamp(2), Input::Report { robot, report })
            .reply?;
        for property in 0..PROPERTIES {
            let own = if property < 6 { number } else { 0 };
            let value = DeviceValue {
                path: format!("{}/some/path", name(property)),
                content: Some(Value::Text(format!("value {own:8}").into()).into()),
                property: true,
                meaning: None,
            };
            let report = Report::Value(value);
            state
                .apply(Timestamp(3), Input::Report { robot, report })
                .reply?;
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    let each = grown / devices.max(1) as usize;
    println!(
        "{devices} devices with {PROPERTIES} properties: {} MB, {each} bytes each",
        grown / 1_000_000
    );
    Ok(())
}
