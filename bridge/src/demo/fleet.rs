//! The demonstration's fleet: its robots, images and behaviour.

use super::{DemoArgs, command, command_all};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use device_sim::model::EcuConfig;
use rollcall_engine::{
    Command, EcuName, EcuSpec, GroupName, HardwareId, ImageRef, ImageSpec, RobotId, RobotSpec,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(super) const GROUP: &str = "demo-fleet";

/// Every so many robots one has boards that no image of the rollout runs on.
const INCOMPATIBLE_EVERY: u32 = 25;

/// Size of each image file.
const IMAGE_BYTES: usize = 64 * 1024;

/// Who takes part.
pub(super) struct DemoFleet {
    pub(super) robots: Vec<DemoRobot>,
    /// The rollout's map.
    pub(super) images: Vec<(HardwareId, ImageRef)>,
}

/// A robot and its password.
pub(super) struct DemoRobot {
    pub(super) id: RobotId,
    secret: String,
    ecus: Vec<EcuSpec>,
}

/// The files that the fleet's process reads.
pub(super) struct Files {
    pub(super) credentials: PathBuf,
    pub(super) profile: PathBuf,
}

fn robot(index: u32, ecus: u16) -> Result<DemoRobot> {
    let legacy = index % INCOMPATIBLE_EVERY == INCOMPATIBLE_EVERY - 1;
    let ecus = (0..usize::from(ecus)).map(|place| {
        let generated = EcuConfig::generated(place);
        let hardware_id = if legacy {
            format!("legacy-{}", generated.hardware_id)
        } else {
            generated.hardware_id
        };
        Ok(EcuSpec {
            name: EcuName::new(&generated.name)?,
            hardware_id: HardwareId::new(&hardware_id)?,
            primary: generated.primary,
        })
    });
    Ok(DemoRobot {
        id: RobotId::new(&format!("robot-{:05}", index + 1))?,
        secret: crate::hex::encode(&rand::random::<[u8; 32]>()),
        ecus: ecus.collect::<Result<_>>()?,
    })
}

/// Registers the robots and their group.
pub(super) async fn register(server: &Server, args: &DemoArgs) -> Result<DemoFleet> {
    let robots = (0..args.robots)
        .map(|index| robot(index, args.ecus))
        .collect::<Result<Vec<_>>>()?;
    let commands = robots.iter().map(|robot| {
        Command::AddRobot(RobotSpec {
            id: robot.id.clone(),
            name: None,
            model: None,
            labels: BTreeMap::new(),
            tags: BTreeSet::new(),
            ecus: robot.ecus.clone(),
            secret: Sha256::digest(robot.secret.as_bytes()).into(),
        })
    });
    command_all(server, commands.collect())
        .await
        .context("the robots were not registered")?;
    let members = robots.iter().map(|robot| robot.id.clone()).collect();
    command(
        server,
        Command::AddGroup {
            name: GroupName::new(GROUP)?,
            robots: members,
        },
    )
    .await?;
    let hardware: BTreeSet<_> = (0..usize::from(args.ecus))
        .map(|place| EcuConfig::generated(place).hardware_id)
        .collect();
    let images = hardware.iter().map(|id| {
        Ok((
            HardwareId::new(id)?,
            format!("{id}-os@2.0.0")
                .parse()
                .map_err(anyhow::Error::msg)?,
        ))
    });
    Ok(DemoFleet {
        robots,
        images: images.collect::<Result<_>>()?,
    })
}

/// Uploads an image for each hardware id that the rollout maps.
pub(super) async fn add_images(server: &Server, fleet: &DemoFleet) -> Result<()> {
    for (hardware_id, reference) in &fleet.images {
        // The label is what simulated Edgehog devices read; the rest is noise.
        let mut file = format!("rollcall-image {reference}\n").into_bytes();
        file.resize_with(IMAGE_BYTES, rand::random);
        let stored = server
            .artifacts
            .store(&reference.to_string(), file.into(), None, None)
            .await
            .context("an image was not stored")?;
        let spec = ImageSpec {
            reference: reference.clone(),
            hardware_ids: vec![hardware_id.clone()],
            model: None,
            build_id: None,
            from_version: None,
            url: stored.token,
            hosted: true,
            size: stored.size,
            sha256: stored.sha256,
        };
        command(server, Command::AddImage(spec)).await?;
    }
    Ok(())
}

impl DemoFleet {
    /// Writes down who the robots are and how they behave.
    pub(super) fn write(&self, directory: &Path, fail: f64) -> Result<Files> {
        let files = Files {
            credentials: directory.join("fleet.jsonl"),
            profile: directory.join("profile.toml"),
        };
        let mut lines = String::new();
        for robot in &self.robots {
            let line = serde_json::json!({
                "id": robot.id, "credentials_secret": robot.secret, "ecus": robot.ecus,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        std::fs::write(&files.credentials, lines)
            .context("the robots' credentials were not written")?;
        let Some(profile) = profile(fail) else {
            bail!("{fail} is not a percentage")
        };
        std::fs::write(&files.profile, profile).context("the robots' profile was not written")?;
        Ok(files)
    }
}

/// Each of five stages fails as often as the next, so that all together fail about as often as asked.
fn profile(fail: f64) -> Option<String> {
    let survive = 1.0 - fail / 100.0;
    let stage = 100.0 * (1.0 - survive.powf(0.2));
    (0.0..=100.0).contains(&stage).then(|| {
        format!(
            "[failures]\nrefuse = {stage}\ndownload = {stage}\ndigest = {stage}\ninstall = {stage}\nrollback = {stage}\n"
        )
    })
}
