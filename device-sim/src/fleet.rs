//! Who is simulated: robots from a credentials file, or generated ones.

use std::collections::BTreeMap;
use std::io::BufRead;

use rollcall_proto::ident;
use serde::Deserialize;

use crate::model::{EcuConfig, Image, Protocol, RobotConfig};

/// One robot and its password.
#[derive(Debug, Clone)]
pub struct Member {
    /// The robot.
    pub config: RobotConfig,
    /// Its credentials secret.
    pub secret: String,
}

/// What all robots of a fleet have in common.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Seed of the simulation.
    pub seed: u64,
    /// Number of the first start of every robot. Seconds since 1970 keep it rising from run to run.
    pub first_boot: u64,
}

/// Which protocols generated robots speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProtocolChoice {
    /// All speak the native protocol.
    #[default]
    Native,
    /// All are Edgehog devices.
    Edgehog,
    /// Every second one is an Edgehog device.
    Mixed,
}

/// Password of generated robots. A server that is started with `--dev` takes any.
pub const DEV_SECRET: &str = "dev";

/// Robots `sim-00001`, `sim-00002`, … with generated ECUs. Edgehog devices have one ECU only.
#[must_use]
pub fn generate(robots: usize, ecus: usize, choice: ProtocolChoice, origin: Origin) -> Vec<Member> {
    (0..robots)
        .map(|index| {
            let protocol = match choice {
                ProtocolChoice::Native => Protocol::Native,
                ProtocolChoice::Edgehog => Protocol::Edgehog,
                ProtocolChoice::Mixed if index % 2 == 1 => Protocol::Edgehog,
                ProtocolChoice::Mixed => Protocol::Native,
            };
            let ecus = if protocol == Protocol::Edgehog {
                1
            } else {
                ecus.max(1)
            };
            let id = format!("sim-{:05}", index + 1);
            let ecus = (0..ecus).map(EcuConfig::generated).collect();
            member(id, index, protocol, ecus, DEV_SECRET.to_owned(), origin)
        })
        .collect()
}

fn member(
    id: String,
    index: usize,
    protocol: Protocol,
    ecus: Vec<EcuConfig>,
    secret: String,
    origin: Origin,
) -> Member {
    let Origin { seed, first_boot } = origin;
    let config = RobotConfig {
        id,
        index: index as u64,
        seed,
        protocol,
        first_boot,
        ecus,
    };
    Member { config, secret }
}

/// Why a credentials file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("read credentials")]
    Read(#[from] std::io::Error),
    /// A line is not the JSON of a robot.
    #[error("credentials line {line} is not a robot")]
    Parse {
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line's robot cannot be simulated.
    #[error("credentials line {line}: {reason}")]
    Unusable {
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// One line: what `rollcall robot add --json` prints, and optionally what only a simulator needs.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    credentials_secret: String,
    /// Without ECUs the robot gets the generated primary.
    #[serde(default)]
    ecus: Vec<EcuLine>,
    #[serde(default)]
    protocol: Protocol,
    /// What an ECU runs at first, `NAME@VERSION` by ECU name.
    #[serde(default)]
    images: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct EcuLine {
    name: String,
    hardware_id: String,
    #[serde(default)]
    primary: bool,
}

/// Robots from JSON lines, each `{"id", "credentials_secret", "ecus": [{"name", "hardware_id",
/// "primary"}], "protocol", "images": {ECU: "NAME@VERSION"}}`. Only the first two keys are needed;
/// others are ignored. Empty lines are skipped.
///
/// # Errors
/// Names the line that cannot be used.
pub fn read_credentials(
    from: impl BufRead,
    origin: Origin,
) -> Result<Vec<Member>, CredentialsError> {
    let mut members = Vec::new();
    for (number, text) in (1..).zip(from.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text).map_err(|source| CredentialsError::Parse {
            line: number,
            source,
        })?;
        let ecus = ecus(&line).map_err(|reason| CredentialsError::Unusable {
            line: number,
            reason,
        })?;
        let Line {
            id,
            credentials_secret,
            protocol,
            ..
        } = line;
        members.push(member(
            id,
            members.len(),
            protocol,
            ecus,
            credentials_secret,
            origin,
        ));
    }
    Ok(members)
}

fn ecus(line: &Line) -> Result<Vec<EcuConfig>, String> {
    if !ident::is_robot_id(&line.id) {
        return Err(format!("{:?} is not a robot id", line.id));
    }
    let mut ecus = Vec::new();
    for EcuLine {
        name,
        hardware_id,
        primary,
    } in &line.ecus
    {
        if !ident::is_ecu_name(name) || !ident::is_hardware_id(hardware_id) {
            return Err(format!("{name:?} on {hardware_id:?} is not an ecu"));
        }
        let image = match line.images.get(name) {
            Some(image) => parse_image(image)?,
            None => Image::initial(hardware_id),
        };
        let (name, hardware_id) = (name.clone(), hardware_id.clone());
        ecus.push(EcuConfig {
            name,
            hardware_id,
            primary: *primary,
            image,
        });
    }
    if ecus.is_empty() {
        ecus.push(EcuConfig::generated(0));
    }
    match (
        line.protocol,
        ecus.len(),
        ecus.iter().filter(|ecu| ecu.primary).count(),
    ) {
        (Protocol::Edgehog, 2.., _) => Err("an edgehog robot has one ecu".to_owned()),
        (_, _, 1) => Ok(ecus),
        (_, _, count) => Err(format!("{count} ecus are primary instead of one")),
    }
}

fn parse_image(text: &str) -> Result<Image, String> {
    let wrong = || format!("{text:?} is not NAME@VERSION");
    let (name, version) = text.split_once('@').ok_or_else(wrong)?;
    if !ident::is_hardware_id(name) || !ident::is_version(version) {
        return Err(wrong());
    }
    let (name, version) = (name.to_owned(), version.to_owned());
    Ok(Image {
        name,
        version,
        build_id: None,
        digest: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        seed: 1,
        first_boot: 9,
    };

    fn read(text: &str) -> Result<Vec<Member>, CredentialsError> {
        read_credentials(text.as_bytes(), ORIGIN)
    }

    #[test]
    fn generated_robots_have_one_primary_and_two_motors_of_one_hardware() {
        let fleet = generate(2, 4, ProtocolChoice::Mixed, ORIGIN);
        let names: Vec<_> = fleet[0]
            .config
            .ecus
            .iter()
            .map(|ecu| ecu.name.as_str())
            .collect();
        assert_eq!(names, ["main", "motor-1", "motor-2", "lidar"]);
        assert_eq!(
            fleet[0].config.ecus[1].hardware_id,
            fleet[0].config.ecus[2].hardware_id
        );
        assert_eq!(
            fleet[0]
                .config
                .ecus
                .iter()
                .filter(|ecu| ecu.primary)
                .count(),
            1
        );
        assert_eq!(fleet[1].config.protocol, Protocol::Edgehog);
        assert_eq!(
            (fleet[1].config.id.as_str(), fleet[1].config.ecus.len()),
            ("sim-00002", 1)
        );
    }

    #[test]
    fn credentials_of_robot_add_are_enough() {
        let line = r#"{"id":"r1","credentials_secret":"s","realm":"fleet","ecus":[
            {"name":"main","hardware_id":"hw-a","primary":true},
            {"name":"arm","hardware_id":"hw-b","primary":false}],
            "images":{"arm":"arm-fw@2.1"}}"#
            .replace('\n', "");
        let fleet = read(&format!("\n{line}\n")).unwrap();
        assert_eq!((fleet.len(), fleet[0].secret.as_str()), (1, "s"));
        assert_eq!(fleet[0].config.ecus[0].image.version, "1.0.0");
        assert_eq!(fleet[0].config.ecus[1].image.name, "arm-fw");
        assert_eq!(fleet[0].config.first_boot, 9);
    }

    #[test]
    fn unusable_credentials_name_their_line() {
        let good = r#"{"id":"r1","credentials_secret":"s"}"#;
        for (bad, hint) in [
            ("{}", "line 2 is not a robot"),
            (r#"{"id":"r/1","credentials_secret":"s"}"#, "not a robot id"),
            (
                r#"{"id":"r","credentials_secret":"s","ecus":[{"name":"a","hardware_id":"h"}]}"#,
                "0 ecus",
            ),
            (
                r#"{"id":"r","credentials_secret":"s","ecus":[{"name":"/","hardware_id":"h"}]}"#,
                "not an ecu",
            ),
            (
                r#"{"id":"r","credentials_secret":"s","protocol":"edgehog","ecus":[
                {"name":"a","hardware_id":"h","primary":true},{"name":"b","hardware_id":"h"}]}"#,
                "one ecu",
            ),
        ] {
            let error = read(&format!("{good}\n{}", bad.replace('\n', ""))).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("line 2") && text.contains(hint),
                "{bad}: {text}"
            );
        }
    }
}
