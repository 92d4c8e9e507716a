//! What a seed decides before the first millisecond: who is in the fleet, how they behave, how bad the network is.

use super::dice::Dice;
use super::{hours, times};
use device_sim::model::{EcuConfig, Image, ImageLabel, Protocol, RobotConfig};
use device_sim::profile::{Percent, Profile, Range, Reboot};
use rollcall_engine::{EcuName, EcuSpec, HardwareId, ImageSpec, Model, RobotId, RobotSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

/// Hardware ids of the whole world. The last is never mapped by an image of `main` boards.
pub(super) const HARDWARE: [&str; 4] = ["compute", "motor", "lidar", "arm"];

/// Names of secondaries; with `main` they make the greatest robot.
const SECONDARIES: [&str; 4] = ["a-motor", "b-motor", "front", "zz-arm"];

/// One robot as it is, and as it will be registered.
#[derive(Debug, Clone)]
pub(super) struct RobotPlan {
    pub(super) config: RobotConfig,
    pub(super) profile: Arc<Profile>,
    pub(super) spec: RobotSpec,
}

/// How bad the network and the server's machine are.
#[derive(Debug, Clone)]
pub(super) struct Hazards {
    /// Longest way of a message, in milliseconds.
    pub(super) latency: u64,
    /// Percent of robots' publishes of QoS 1 that arrive twice.
    pub(super) duplicate: u32,
    /// Between two cuts of some connection, in milliseconds; `None` for a good network.
    pub(super) cut_every: Option<u64>,
    /// Between two deaths of the server; `None` for a good machine.
    pub(super) crash_every: Option<u64>,
    /// Percent of commits in whose middle the server dies.
    pub(super) crash_in_commit: u32,
    /// Percent of commits during or soon after which the power goes, where the server has a real disk.
    pub(super) power: u32,
    /// How long the server stays away at most; one of them each time.
    pub(super) away: [u64; 3],
    /// Percent of fetches that break for reasons that are not the robot's.
    pub(super) broken_fetch: u32,
}

/// How long a server that dies now and then stays away at most.
const AWAY: [u64; 3] = [2 * SECOND, MINUTE, 20 * MINUTE];

/// In worlds with these seeds people plan by the clock.
const TIMED: std::ops::Range<u64> = 6_000_000..7_000_000;

/// Whether it is a world in which people plan by the clock.
pub(super) fn is_timed(seed: u64) -> bool {
    TIMED.contains(&seed)
}

/// Everything that a seed decides beforehand.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) robots: Vec<RobotPlan>,
    pub(super) images: Vec<ImageSpec>,
    pub(super) hazards: Hazards,
    /// How many things operators do, and within which time.
    pub(super) actions: usize,
    pub(super) horizon: u64,
    /// When the world begins, in milliseconds since 1970.
    pub(super) epoch: u64,
    /// A rollout over everybody begins with the world.
    pub(super) opening: bool,
}

impl Scenario {
    pub(super) fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 1 << 40);
        // Most worlds are small, because small ones reach odd corners fastest.
        let robots = match dice.within(0, 9) {
            0..=3 => dice.within(1, 4),
            4..=7 => dice.within(3, 12),
            8 => dice.within(10, 30),
            _ => dice.within(30, 60),
        };
        // Dice of their own, so that a seed's world is otherwise the one that it always was.
        let ways = &mut Dice::new(seed, 1 << 41);
        let mut profiles = [profile(dice), profile(dice), Profile::default()];
        profiles
            .iter_mut()
            .for_each(|profile| edgehog_ways(ways, profile));
        let profiles = profiles.map(Arc::new);
        let mut robots: Vec<_> = (0..robots)
            .map(|index| robot(dice, seed, index, &profiles))
            .collect();
        let (epoch, more) = match is_timed(seed) {
            true => (settle(&mut Dice::new(seed, 1 << 42), &mut robots), 2),
            false => (0, 1),
        };
        Self {
            robots,
            images: images(),
            hazards: hazards(dice),
            actions: usize::try_from(dice.within(4, 24)).unwrap_or(4) * more,
            horizon: dice.within(10, 120) * MINUTE,
            epoch,
            opening: false,
        }
    }

    /// A world in which the server's power goes all the time, and it dies of nothing else.
    pub(super) fn without_power(seed: u64) -> Self {
        let mut scenario = Self::draw(seed);
        // Losses are what it is for, and many robots make them slow.
        scenario.robots.truncate(12);
        scenario.hazards = Hazards {
            crash_every: None,
            crash_in_commit: 0,
            power: 6,
            away: [2 * SECOND, 10 * SECOND, MINUTE],
            ..scenario.hazards
        };
        scenario
    }

    /// A world whose trouble is its size.
    pub(super) fn large(seed: u64, robots: u64) -> Self {
        let dice = &mut Dice::new(seed, 1 << 40);
        let mut profile = Profile::default();
        profile.timing.install = Range::between(SECOND, 40 * SECOND);
        profile.timing.reboot = Range::between(SECOND, 90 * SECOND);
        let two = Percent::new(2.0).unwrap_or_default();
        profile.failures.install = two;
        profile.failures.rollback = two;
        profile.messages.lose_final = two;
        let profile = Arc::new(profile);
        let robots = (0..robots).map(|index| four_ecus(seed, index, &profile));
        Self {
            robots: robots.collect(),
            images: images(),
            hazards: Hazards {
                latency: 20,
                duplicate: 1,
                cut_every: Some(20 * SECOND),
                crash_every: Some(10 * MINUTE),
                crash_in_commit: 0,
                power: 0,
                away: AWAY,
                broken_fetch: 1,
            },
            actions: 6,
            horizon: dice.within(20, 40) * MINUTE,
            epoch: 0,
            opening: true,
        }
    }
}

fn four_ecus(seed: u64, index: u64, profile: &Arc<Profile>) -> RobotPlan {
    let ecu = |name: &str, hardware: &str, primary| EcuConfig {
        name: name.to_owned(),
        hardware_id: hardware.to_owned(),
        primary,
        image: Image::initial(hardware),
    };
    let ecus = vec![
        ecu("main", "compute", true),
        ecu("a-motor", "motor", false),
        ecu("b-motor", "motor", false),
        ecu("front", "lidar", false),
    ];
    let spec = registration(&format!("r{index}"), &ecus);
    let config = RobotConfig {
        id: spec.id.to_string(),
        index,
        seed,
        protocol: Protocol::Native,
        first_boot: 1,
        ecus,
    };
    RobotPlan {
        config,
        profile: Arc::clone(profile),
        spec,
    }
}

/// Gives robots a place on Earth, and the world a beginning.
fn settle(dice: &mut Dice, robots: &mut [RobotPlan]) -> u64 {
    for robot in robots {
        if dice.chance(70) {
            robot.spec.labels.extend([times::zone_label(dice)]);
        }
    }
    let minute = *dice.pick(&hours::BEGINNINGS);
    u64::try_from(minute).unwrap_or(0) * MINUTE + dice.within(0, 150 * MINUTE)
}

fn hazards(dice: &mut Dice) -> Hazards {
    let rough = dice.chance(70);
    let mortal = dice.chance(60);
    Hazards {
        latency: *dice.pick(&[1, 20, 300, 3_000]),
        duplicate: if rough { 5 } else { 0 },
        cut_every: rough.then(|| dice.within(5 * SECOND, 5 * MINUTE)),
        crash_every: (mortal && dice.chance(60)).then(|| dice.within(2 * MINUTE, 40 * MINUTE)),
        crash_in_commit: if mortal { 1 } else { 0 },
        power: 0,
        away: AWAY,
        broken_fetch: if rough { 5 } else { 0 },
    }
}

fn percent(dice: &mut Dice, most: u64) -> Percent {
    // Half of all troubles are absent from a world, so that the others can be seen alone.
    let share = if dice.chance(50) {
        0
    } else {
        dice.within(1, most)
    };
    Percent::new(f64::from(u32::try_from(share).unwrap_or(0))).unwrap_or_default()
}

/// How Edgehog devices are configured.
fn edgehog_ways(dice: &mut Dice, profile: &mut Profile) {
    let edgehog = &mut profile.edgehog;
    edgehog.streaming = dice.chance(20);
    if dice.chance(20) {
        edgehog.reboot = Reboot::External;
        edgehog.external_reboot = Range::between(SECOND, 10 * MINUTE);
    }
    edgehog.status_lost = percent(dice, 100);
    edgehog.adapter_changes = percent(dice, 50);
}

fn profile(dice: &mut Dice) -> Profile {
    let mut profile = Profile::default();
    let slow = if dice.chance(20) { 20 } else { 1 };
    profile.timing.install = Range::between(SECOND, 40 * SECOND * slow);
    profile.timing.reboot = Range::between(SECOND, 90 * SECOND);
    let failures = &mut profile.failures;
    for share in [
        &mut failures.refuse,
        &mut failures.busy,
        &mut failures.download,
        &mut failures.digest,
        &mut failures.install,
        &mut failures.rollback,
    ] {
        *share = percent(dice, 20);
    }
    profile.link.offline_at_start = percent(dice, 40);
    profile.link.offline_for = Range::between(SECOND, 20 * MINUTE);
    profile.link.offline_every = dice
        .chance(50)
        .then(|| Range::between(2 * MINUTE, 30 * MINUTE));
    profile.power.loss_every = dice
        .chance(40)
        .then(|| Range::between(5 * MINUTE, 60 * MINUTE));
    profile.messages.wants_ack = percent(dice, 100);
    profile.messages.lose_final = percent(dice, 30);
    profile.messages.duplicate = percent(dice, 20);
    profile.messages.reorder = percent(dice, 20);
    profile.lies.claim_success = percent(dice, 20);
    profile.lies.wrong_version = percent(dice, 20);
    profile.lies.backward_progress = percent(dice, 30);
    profile.lies.unknown_operation = percent(dice, 20);
    profile.edgehog.late_success = percent(dice, 100);
    profile
}

fn robot(dice: &mut Dice, seed: u64, index: u64, profiles: &[Arc<Profile>]) -> RobotPlan {
    let protocol = if dice.chance(30) {
        Protocol::Edgehog
    } else {
        Protocol::Native
    };
    let secondaries = if protocol == Protocol::Edgehog {
        0
    } else {
        dice.index(SECONDARIES.len() + 1)
    };
    let ecu = |name: &str, hardware: &str, primary| EcuConfig {
        name: name.to_owned(),
        hardware_id: hardware.to_owned(),
        primary,
        image: Image::initial(hardware),
    };
    let board = *dice.pick(&["compute", "compute", "compute", "motor", "arm"]);
    let mut ecus = vec![ecu("main", board, true)];
    for name in &SECONDARIES[..secondaries] {
        let hardware = if name.ends_with("motor") {
            "motor"
        } else {
            dice.word(&HARDWARE)
        };
        ecus.push(ecu(name, hardware, false));
    }
    let mut spec = registration(&format!("r{index}"), &ecus);
    spec.model = dice.chance(50).then(|| model(dice.word(&["m1", "m2"])));
    // Somebody has written down another board than the one that is there: it must never get an image.
    if protocol == Protocol::Native && dice.chance(8) {
        let wrong = dice.index(spec.ecus.len());
        spec.ecus[wrong].hardware_id = hardware(dice.word(&HARDWARE));
    }
    // Design 5.1: registered without a hardware id, it takes its part number as that.
    if protocol == Protocol::Edgehog && dice.chance(50) {
        spec.ecus.clear();
        spec.model = None;
    }
    let config = RobotConfig {
        id: spec.id.to_string(),
        index,
        seed,
        protocol,
        first_boot: 1,
        ecus,
    };
    RobotPlan {
        config,
        profile: Arc::clone(dice.pick(profiles)),
        spec,
    }
}

fn registration(id: &str, ecus: &[EcuConfig]) -> RobotSpec {
    let ecus = ecus.iter().map(|ecu| EcuSpec {
        name: EcuName::new(&ecu.name).expect("names above follow the grammar"),
        hardware_id: hardware(&ecu.hardware_id),
        primary: ecu.primary,
    });
    RobotSpec {
        id: RobotId::new(id).expect("ids above follow the grammar"),
        name: None,
        model: None,
        labels: BTreeMap::new(),
        tags: BTreeSet::new(),
        ecus: ecus.collect(),
        secret: [1; 32],
    }
}

pub(super) fn hardware(id: &str) -> HardwareId {
    HardwareId::new(id).expect("hardware ids above follow the grammar")
}

fn model(name: &str) -> Model {
    Model::new(name).expect("models above follow the grammar")
}

/// The catalogue: updates, a build id, one image for two boards, one for one model, and what robots run at first.
fn images() -> Vec<ImageSpec> {
    let image = |reference: &str, boards: &[&str], size| ImageSpec {
        reference: reference.parse().expect("references follow the grammar"),
        hardware_ids: boards.iter().map(|board| hardware(board)).collect(),
        model: None,
        build_id: None,
        from_version: None,
        url: format!("http://artifacts/{reference}"),
        hosted: false,
        size,
        sha256: [u8::try_from(reference.len()).unwrap_or(0) ^ reference.as_bytes()[0]; 32],
    };
    let mut images = vec![image("uni@7.0.0", &["compute", "motor", "lidar"], 700_000)];
    for board in HARDWARE {
        images.push(image(&format!("{board}-os@1.0.0"), &[board], 90_000));
        images.push(image(&format!("{board}-os@2.0.0"), &[board], 2_000_000));
        let mut third = image(&format!("{board}-os@3.0.0+b31"), &[board], 400_000);
        if board == "motor" || board == "lidar" {
            third.from_version = Some(">= 2.0.0".parse().expect("it is a requirement"));
        }
        images.push(third);
    }
    let mut special = image("special@1.0.0", &["compute"], 50_000);
    special.model = Some(model("m1"));
    images.push(special);
    // Part numbers of Edgehog devices are their hardware ids here, and become their models.
    // Edgehog devices are known by versions only, so it has one of its own.
    let mut parted = image("parted@1.5.0", &["compute", "motor"], 50_000);
    parted.model = Some(model("compute"));
    images.push(parted);
    for (number, image) in (0_u8..).zip(&mut images) {
        image.sha256[0] = number;
    }
    images
}

/// What the file of an image says to be.
pub(super) fn label(image: &ImageSpec) -> ImageLabel {
    ImageLabel {
        name: image.reference.name.to_string(),
        version: image.reference.version.to_string(),
    }
}
