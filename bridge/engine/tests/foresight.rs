//! What a preview says of each ECU is what the launch does to it and what `why` answers right after, when nothing else has
//! changed (issue 4: the plan is a value; A12 to A14).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRng, TestRunner};
use rollcall_engine::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What one ECU says it runs: name, version, build id. Nothing at all, too.
type Said = Option<(&'static str, &'static str, &'static str)>;

#[derive(Debug, Clone)]
struct Device {
    /// Two ECUs, or one.
    both: bool,
    model: Option<&'static str>,
    /// Offline; connected; introduced; all reports in.
    presence: u8,
    /// Its Manifest leaves out the primary.
    incomplete: bool,
    said: [Said; 2],
    in_canary: bool,
}

#[derive(Debug, Clone)]
struct Wish {
    from_version: Option<&'static str>,
    model: Option<&'static str>,
    build_id: Option<&'static str>,
    boards: u8,
    target: u8,
    /// An older rollout is launched before.
    older: bool,
    mechanism: Mechanism,
}

fn said() -> impl Strategy<Value = Said> {
    let version = prop::sample::select(vec!["1.0.0", "2.0.0", "3.0.0", "junk", ""]);
    let name = prop::sample::select(vec!["os", "os", "other", ""]);
    let build = prop::sample::select(vec!["", "b1"]);
    prop::option::weighted(0.9, (name, version, build))
}

fn model() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.3, prop::sample::select(vec!["a", "b"]))
}

fn device() -> impl Strategy<Value = Device> {
    let presence = prop_oneof![1 => 0..3_u8, 3 => Just(3)];
    let flags = (any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    (flags, model(), presence, said(), said()).prop_map(|(flags, model, presence, one, two)| {
        let (both, incomplete, in_canary) = flags;
        Device {
            both,
            model,
            presence,
            incomplete,
            said: [one, two],
            in_canary,
        }
    })
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    use prop::sample::select;
    let phases = vec![
        Vec::new(),
        vec![
            Phase::new(PhaseSize::Robots(1)),
            Phase::new(PhaseSize::Rest),
        ],
        vec![
            Phase::new(PhaseSize::Group(GroupName::new("canary").unwrap())),
            Phase::new(PhaseSize::Rest),
        ],
    ];
    let force = vec![
        ForceDowngrade::No,
        ForceDowngrade::All,
        ForceDowngrade::WithinRequirement,
    ];
    let versions = vec![OnVersionMismatch::Fail, OnVersionMismatch::Skip];
    let failure = vec![OnFailure::Continue, OnFailure::Stop];
    // Closed, as the fleet begins at noon of a Saturday.
    let windows = r#"{"windows": [{"opens": "0 3 * * *", "minutes": 60}]}"#;
    let windows: Windows = serde_json::from_str(windows).unwrap();
    (
        prop_oneof![Just(1), Just(100)],
        select(phases),
        select(force),
        select(versions),
        select(failure),
        prop::option::weighted(0.1, Just(windows)),
    )
        .prop_map(
            |(cap, phases, force, versions, on_failure, windows)| Mechanism {
                max_in_progress: cap,
                phases,
                force_downgrade: force,
                on_version_mismatch: versions,
                on_failure,
                windows,
                ..Mechanism::default()
            },
        )
}

fn wish() -> impl Strategy<Value = Wish> {
    let from_version = prop::sample::select(vec![">= 1.0.0", "~> 2.0"]);
    (
        prop::option::weighted(0.3, from_version),
        model(),
        prop::option::weighted(0.2, Just("b1")),
        1..4_u8,
        0..4_u8,
        any::<bool>(),
        mechanism(),
    )
        .prop_map(
            |(from_version, model, build_id, boards, target, older, mechanism)| Wish {
                from_version,
                model,
                build_id,
                boards,
                target,
                older,
                mechanism,
            },
        )
}

fn add(fleet: &mut Fleet, number: usize, device: &Device) -> RobotKey {
    let ecus = [ecu("a-motor", "motor", false), ecu("main", "hw", true)];
    let ecus = &ecus[usize::from(!device.both)..];
    let id = RobotId::new(&format!("r{number}")).unwrap();
    let added = fleet.command(Command::AddRobot(RobotSpec {
        id: id.clone(),
        name: None,
        model: device.model.map(|model| Model::new(model).unwrap()),
        labels: BTreeMap::new(),
        tags: Default::default(),
        ecus: ecus.to_vec(),
        secret: [0; 32],
    }));
    let Ok(Reply::Robot(key)) = added else {
        panic!("{added:?}")
    };
    if device.in_canary {
        let name = GroupName::new("canary").unwrap();
        let robots = vec![id];
        fleet.command(Command::AddGroup { name, robots }).unwrap();
    }
    if device.presence == 0 {
        return key;
    }
    fleet.connect(key);
    if device.presence == 1 {
        return key;
    }
    // A Manifest without the primary holds it.
    let declared = ecus.len() - usize::from(device.incomplete && device.both);
    fleet
        .report(
            key,
            Report::Manifest {
                boot: 1,
                wants_ack: false,
                ecus: ecus[..declared].to_vec(),
            },
        )
        .unwrap();
    if device.presence == 2 {
        return key;
    }
    for (ecu, said) in ecus.iter().zip(device.said) {
        if let Some((name, version, build_id)) = said {
            let image = ReportedImage {
                name: name.into(),
                version: version.into(),
                build_id: build_id.into(),
                ..ReportedImage::default()
            };
            fleet.base_image(key, ecu.name.as_str(), image).unwrap();
        }
    }
    key
}

fn images(fleet: &mut Fleet, wish: &Wish) {
    for (reference, board) in [("os@2.0.0", "hw"), ("os@2.0.1", "motor")] {
        let image = ImageSpec {
            reference: reference.parse().unwrap(),
            hardware_ids: vec![hw(board)],
            model: wish.model.map(|model| Model::new(model).unwrap()),
            build_id: wish.build_id.map(str::to_owned),
            from_version: wish.from_version.map(|text| text.parse().unwrap()),
            url: "http://127.0.0.1/a".into(),
            hosted: false,
            size: 1,
            sha256: [9; 32],
        };
        fleet.command(Command::AddImage(image)).unwrap();
    }
}

/// Whether a target that was planned so may stand so right after the launch.
fn follows(check: Check, why: &Why, earlier_failed: bool) -> bool {
    match why.state {
        // It has something to wait for, and is judged as before.
        TargetState::Pending => why.at_dispatch == Some(check) && why.waits_for.is_some(),
        TargetState::Requested => matches!(check, Check::Send { .. }),
        TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        } => check == Check::AlreadyCurrent,
        TargetState::Skipped { reason } => check == Check::Skip { reason },
        // Who is ready and has not said it will not say it.
        TargetState::Failed {
            reason: reason @ FailureReason::MissingVersion,
        } => check == Check::Unreported || check == Check::Fail { reason },
        TargetState::Failed { reason } => check == Check::Fail { reason },
        TargetState::Cancelled {
            reason: CancelReason::EarlierEcuFailed,
        } => earlier_failed,
        _ => false,
    }
}

fn play(devices: &[Device], wish: &Wish, seen: &mut BTreeSet<String>) -> Result<(), TestCaseError> {
    let mut fleet = fleet::pace::at_noon();
    let name = GroupName::new("canary").unwrap();
    let robots = Vec::new();
    fleet.command(Command::AddGroup { name, robots }).unwrap();
    images(&mut fleet, wish);
    for (number, device) in devices.iter().enumerate() {
        add(&mut fleet, number, device);
    }
    // The reports that are not in now will not come.
    fleet.pass(20_000);
    let map = [("hw", "os@2.0.0"), ("motor", "os@2.0.1")];
    let older = wish.older.then(|| {
        let mut spec = fleet.spec(fleet.all(), &map[..1]);
        spec.mechanism.max_in_progress = 1;
        let id = fleet.create(spec).ok()?;
        fleet.launch(id).unwrap();
        Some(id)
    });
    let older = older.flatten();
    fleet.pass(1_000);
    let map = match wish.boards {
        1 => &map[..1],
        2 => &map[1..],
        _ => &map[..],
    };
    let target = match wish.target {
        0 => fleet.all(),
        1 => TargetSelection::Hardware(hw("motor")),
        2 => TargetSelection::Group(GroupName::new("canary").unwrap()),
        _ => TargetSelection::Selector(r#"id != "r1""#.parse().unwrap()),
    };
    let mut spec = fleet.spec(target, map);
    spec.mechanism = wish.mechanism.clone();
    let previewed = fleet.state.preview(&spec);
    let created = fleet.create(spec);
    let (plan, report) = match (previewed, created) {
        (Ok((plan, report)), Ok(_)) => (plan, report),
        (Ok((plan, _)), Err(Refusal::AffectsNobody { .. })) => {
            prop_assert!(plan.affected().next().is_none());
            return Ok(());
        }
        (Err(one), Err(two)) => {
            prop_assert_eq!(one, two);
            return Ok(());
        }
        (one, two) => panic!("{one:?}, {two:?}"),
    };
    let id = fleet.state.rollouts().last().unwrap().id;
    prop_assert!(fleet.state.drift(id).unwrap().is_empty());
    let before: Vec<_> = plan.robots.iter().map(|r| (r.robot, r.clone())).collect();
    for (robot, planned) in &before {
        let answers = fleet.state.why(id, *robot).unwrap();
        let said: Vec<_> = answers.iter().filter_map(|why| why.at_dispatch).collect();
        let shown: Vec<_> = planned.ecus.iter().map(|ecu| ecu.at_dispatch).collect();
        prop_assert_eq!(said, shown, "before the launch");
    }
    let states = |fleet: &Fleet, of: RolloutId| -> Vec<_> {
        let members = &fleet.state.rollout(of).unwrap().members;
        let targets = members.values().flat_map(|member| &member.targets);
        targets.map(|target| target.state).collect()
    };
    let busy = |fleet: &Fleet, robot| fleet.state.robot(robot).unwrap().active.is_some();
    let was_busy: Vec<_> = before.iter().map(|(r, _)| busy(&fleet, *r)).collect();
    fleet.effects.clear();
    fleet.launch(id).unwrap();
    let rollout = fleet.state.rollout(id).unwrap();
    let members: Vec<_> = rollout.members.keys().collect();
    let shown: Vec<_> = before.iter().map(|(robot, _)| robot).collect();
    prop_assert_eq!(members.len(), shown.len());
    let free = wish.mechanism.max_in_progress > 1
        && wish.mechanism.phases.is_empty()
        && wish.mechanism.windows.is_none();
    let mut sent = 0;
    for ((robot, planned), was_busy) in before.iter().zip(was_busy) {
        let answers = fleet.state.why(id, *robot).unwrap();
        if let Some(reason) = planned.skipped {
            prop_assert_eq!(answers[0].state, TargetState::Skipped { reason });
            continue;
        }
        prop_assert_eq!(answers.len(), planned.ecus.len());
        let fails =
            |ecu: &PlannedEcu| matches!(ecu.at_dispatch, Check::Fail { .. } | Check::Unreported);
        let stops = wish.mechanism.on_failure == OnFailure::Stop;
        let earlier_failed = stops && planned.ecus.iter().any(fails);
        for (ecu, why) in planned.ecus.iter().zip(&answers) {
            let so = follows(ecu.at_dispatch, why, earlier_failed);
            prop_assert!(so, "{:?} became {:?}", ecu, why);
            sent += usize::from(why.state == TargetState::Requested);
            seen.insert(format!("{:?} {:?}", ecu.at_dispatch, why.state));
        }
        // Who can be told is told now: of all ECUs up to the first that is sent.
        let ready = fleet.state.robot(*robot).unwrap().ready() && !was_busy;
        if ready && free {
            let open = planned.ecus.iter().zip(&answers);
            let mut open = open.filter(|(ecu, _)| ecu.at_dispatch != Check::Held);
            let waits = open.find(|(_, why)| !why.state.is_final());
            let waits = waits.map(|(_, why)| why.state);
            prop_assert!(
                matches!(waits, None | Some(TargetState::Requested)),
                "{:?}",
                waits
            );
        }
    }
    prop_assert_eq!(fleet.requests().len(), sent);
    // What stands beside the plan comes true, too.
    let phases = wish.mechanism.phases.len();
    let of = |phase| {
        let members = fleet.state.rollout(id).unwrap().members.values();
        let of_phase = members.filter(|m| m.skipped.is_none() && usize::from(m.phase) == phase);
        u32::try_from(of_phase.count()).unwrap()
    };
    prop_assert_eq!(report.phases, (0..phases).map(of).collect::<Vec<_>>());
    let lost = older.map_or(0, |older| {
        let lost = |state: &&TargetState| **state == TargetState::Superseded { by: id };
        states(&fleet, older).iter().filter(lost).count()
    });
    let foreseen: usize = report.conflicts.iter().map(|c| c.superseded).sum();
    prop_assert_eq!(foreseen, lost);
    if lost > 0 {
        seen.insert("superseded".to_owned());
    }
    Ok(())
}

#[test]
fn a14_what_a_preview_says_is_what_the_launch_does_and_what_why_answers() {
    let config = ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen = RefCell::new(BTreeSet::new());
    let fleets = (prop::collection::vec(device(), 1..6), wish());
    let result = runner.run(&fleets, |(devices, wish)| {
        play(&devices, &wish, &mut seen.borrow_mut())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // A test that never meets a case proves nothing of it.
    for what in [
        "Send { lifted: None } Requested",
        "Send { lifted: None } Pending",
        "Send { lifted: Some(DowngradeNotAllowed) } Requested",
        "Send { lifted: Some(InvalidVersion) } Requested",
        "AlreadyCurrent Succeeded { how: AlreadyCurrent }",
        "AlreadyCurrent Pending",
        "Unreported Pending",
        "Unreported Failed { reason: MissingVersion }",
        "Held Pending",
        "Held Cancelled { reason: EarlierEcuFailed }",
        "Skip { reason: VersionMismatch } Skipped { reason: VersionMismatch }",
        "Fail { reason: DowngradeNotAllowed } Failed { reason: DowngradeNotAllowed }",
        "Fail { reason: VersionRequirementNotMet } Failed { reason: VersionRequirementNotMet }",
        "Fail { reason: AmbiguousVersionOrder } Failed { reason: AmbiguousVersionOrder }",
        "superseded",
    ] {
        assert!(seen.borrow().contains(what), "{what}: {:#?}", seen.borrow());
    }
}
