//! E12 to E18 and X5 to X7: what versions allow, at the preview and at every dispatch.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

/// A robot that reports what it is told to, and an image for it.
struct Bench {
    fleet: Fleet,
    robot: RobotKey,
}

fn reports(name: &str, version: &str, build_id: &str) -> ReportedImage {
    ReportedImage {
        name: name.into(),
        version: version.into(),
        build_id: build_id.into(),
        ..ReportedImage::default()
    }
}

impl Bench {
    fn new(reference: &str, from_version: Option<&str>) -> Self {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let spec = ImageSpec {
            reference: reference.parse().unwrap(),
            hardware_ids: vec![hw("hw")],
            model: None,
            build_id: None,
            from_version: from_version.map(|text| text.parse().unwrap()),
            url: "http://127.0.0.1/a".into(),
            hosted: false,
            size: 1,
            sha256: [9; 32],
        };
        fleet.command(Command::AddImage(spec)).unwrap();
        Self { fleet, robot }
    }

    fn connect(&mut self, image: ReportedImage) {
        self.fleet.connect(self.robot);
        self.fleet.manifest(self.robot, 1).unwrap();
        self.fleet.base_image(self.robot, "main", image).unwrap();
    }

    fn create(&mut self, reference: &str, force: ForceDowngrade) -> RolloutId {
        let mut spec = self.fleet.spec(self.fleet.all(), &[("hw", reference)]);
        spec.mechanism.force_downgrade = force;
        self.fleet.create(spec).unwrap()
    }

    fn previewed(&self, id: RolloutId) -> Check {
        let plan = self.fleet.state.plan_page(id, None, 1).unwrap();
        plan.robots[0].ecus[0].at_dispatch
    }
}

/// What the preview says, what `why` says before the launch, and what the dispatch does, for one version of everything.
fn outcome(
    reference: &str,
    from_version: Option<&str>,
    image: ReportedImage,
    force: ForceDowngrade,
) -> Check {
    let mut bench = Bench::new(reference, from_version);
    bench.connect(image);
    let id = bench.create(reference, force);
    let check = bench.previewed(id);
    let why = &bench.fleet.state.why(id, bench.robot).unwrap()[0];
    assert_eq!(why.at_dispatch, Some(check));
    bench.fleet.launch(id).unwrap();
    let sent = !bench.fleet.requests().is_empty();
    let state = bench.fleet.target_state(id, bench.robot);
    let expected = match check {
        Check::Send { .. } => TargetState::Requested,
        Check::AlreadyCurrent => TargetState::Succeeded {
            how: SuccessKind::AlreadyCurrent,
        },
        Check::Fail { reason } => TargetState::Failed { reason },
        other => panic!("{other:?}"),
    };
    assert_eq!(state, expected, "dispatch does what the preview said");
    assert_eq!(sent, matches!(check, Check::Send { .. }));
    check
}

const SEND: Check = Check::Send { lifted: None };

fn fails(reason: FailureReason) -> Check {
    Check::Fail { reason }
}

fn forced(reason: FailureReason) -> Check {
    let lifted = Some(reason);
    Check::Send { lifted }
}

use FailureReason::{
    AmbiguousVersionOrder, DowngradeNotAllowed, InvalidVersion, MissingVersion,
    VersionRequirementNotMet,
};
use ForceDowngrade::{All, No, WithinRequirement};

/// device-contract 4.6: the checks of Edgehog's executor, in its order.
#[test]
fn e15_versions_decide_what_is_sent() {
    for (image, from, name, version, build, expected) in [
        ("os@2.0.0", None, "os", "1.0.0", "", SEND),
        ("os@1.10.0", None, "os", "1.9.0", "", SEND),
        ("os@2.0.0", None, "os", "2.0.0-rc.1", "", SEND),
        // E16: the same version, build included, is success without a word.
        ("os@2.0.0", None, "os", "2.0.0", "", Check::AlreadyCurrent),
        (
            "os@2.0.0+b7",
            None,
            "os",
            "2.0.0+b7",
            "",
            Check::AlreadyCurrent,
        ),
        // Edgehog's runtime reports the build apart.
        (
            "os@2.0.0+b7",
            None,
            "",
            "2.0.0",
            "b7",
            Check::AlreadyCurrent,
        ),
        ("os@2.0.0", None, "os", "2.0.0", "b7", Check::AlreadyCurrent),
        (
            "os@2.0.0",
            None,
            "os",
            "2.0.1",
            "",
            fails(DowngradeNotAllowed),
        ),
        (
            "os@2.0.0-rc.1",
            None,
            "os",
            "2.0.0",
            "",
            fails(DowngradeNotAllowed),
        ),
        (
            "os@1.9.0",
            None,
            "",
            "1.10.0",
            "b1",
            fails(DowngradeNotAllowed),
        ),
        // Builds have no order.
        (
            "os@2.0.0+b8",
            None,
            "os",
            "2.0.0+b7",
            "",
            fails(AmbiguousVersionOrder),
        ),
        (
            "os@2.0.0+b8",
            None,
            "",
            "2.0.0",
            "b7",
            fails(AmbiguousVersionOrder),
        ),
        (
            "os@2.0.0",
            None,
            "os",
            "2.0.0+b7",
            "",
            fails(AmbiguousVersionOrder),
        ),
        ("os@2.0.0", None, "os", "factory", "", fails(InvalidVersion)),
        ("os@2.0.0", None, "os", "1.0", "", fails(InvalidVersion)),
        ("os@2.0.0", None, "os", "v1.0.0", "", fails(InvalidVersion)),
        ("os@2.0.0", None, "os", "01.0.0", "", fails(InvalidVersion)),
        ("os@2.0.0", None, "os", "", "", fails(MissingVersion)),
        // Another image's versions are another's numbers.
        ("os@2.0.0", None, "factory", "9.0.0", "", SEND),
        ("os@2.0.0", None, "factory", "initial", "", SEND),
        // A version that is not SemVer has no order.
        ("os@2026-spring", None, "os", "2026-winter", "", SEND),
        ("os@2026-spring", None, "os", "9.0.0", "", SEND),
        (
            "os@2026-spring",
            None,
            "os",
            "2026-spring",
            "",
            Check::AlreadyCurrent,
        ),
        // E17
        ("os@2.0.0", Some(">= 1.5.0"), "os", "1.5.0", "", SEND),
        ("os@2.0.0", Some("~> 1.5"), "os", "1.9.0-dev", "", SEND),
        (
            "os@2.0.0",
            Some(">= 1.5.0"),
            "os",
            "1.4.9",
            "",
            fails(VersionRequirementNotMet),
        ),
        (
            "os@2.0.0",
            Some(">= 1.5.0"),
            "os",
            "2.0.0",
            "",
            Check::AlreadyCurrent,
        ),
        (
            "os@2.0.0",
            Some("< 9.0.0"),
            "os",
            "3.0.0",
            "",
            fails(DowngradeNotAllowed),
        ),
        (
            "os@2.0.0",
            Some(">= 1.5.0"),
            "factory",
            "1.6.0",
            "",
            fails(VersionRequirementNotMet),
        ),
        (
            "os@spring",
            Some(">= 1.5.0"),
            "os",
            "winter",
            "",
            fails(InvalidVersion),
        ),
        ("os@spring", Some(">= 1.5.0"), "os", "1.6.0", "", SEND),
    ] {
        let found = outcome(image, from, reports(name, version, build), No);
        assert_eq!(
            found, expected,
            "{image} from {from:?} over {name}@{version} {build}"
        );
    }
}

/// X5: the seed's Force Downgrade lifts order and requirement, Edgehog's code only the order.
#[test]
fn x5_a_forced_downgrade_lifts_the_requirement_too_unless_it_is_told_not_to() {
    for (image, from, version, all, within) in [
        (
            "os@1.0.0",
            None,
            "2.0.0",
            forced(DowngradeNotAllowed),
            forced(DowngradeNotAllowed),
        ),
        (
            "os@1.0.0+a",
            None,
            "1.0.0+b",
            forced(AmbiguousVersionOrder),
            forced(AmbiguousVersionOrder),
        ),
        (
            "os@3.0.0",
            Some(">= 2.0.0"),
            "1.0.0",
            forced(VersionRequirementNotMet),
            fails(VersionRequirementNotMet),
        ),
        // Older, and not from there either: the order is lifted, the requirement is not.
        (
            "os@1.0.0",
            Some("< 1.0.0"),
            "2.0.0",
            forced(DowngradeNotAllowed),
            fails(VersionRequirementNotMet),
        ),
        (
            "os@1.0.0",
            None,
            "factory",
            forced(InvalidVersion),
            fails(InvalidVersion),
        ),
        // Nothing lifts a missing version, and nothing is lifted where nothing is in the way.
        (
            "os@1.0.0",
            None,
            "",
            fails(MissingVersion),
            fails(MissingVersion),
        ),
        ("os@1.0.0", None, "0.9.0", SEND, SEND),
        (
            "os@1.0.0",
            None,
            "1.0.0",
            Check::AlreadyCurrent,
            Check::AlreadyCurrent,
        ),
    ] {
        for (force, expected) in [(All, all), (WithinRequirement, within)] {
            let found = outcome(image, from, reports("os", version, ""), force);
            assert_eq!(
                found, expected,
                "{image} from {from:?} over {version}, {force:?}"
            );
        }
    }
}

/// E15: what counts is the version at the dispatch, not the one at the creation.
#[test]
fn e15_the_check_is_made_at_every_dispatch() {
    let mut bench = Bench::new("os@2.0.0", None);
    bench.connect(reports("os", "1.0.0", ""));
    let id = bench.create("os@2.0.0", No);
    bench.fleet.disconnect(bench.robot);
    bench.fleet.launch(id).unwrap();
    let why = &bench.fleet.state.why(id, bench.robot).unwrap()[0];
    assert_eq!(why.at_dispatch, Some(SEND));
    // Somebody updates it by other means while it is offline.
    bench.connect(reports("os", "3.0.0", ""));
    assert!(bench.fleet.requests().is_empty());
    let reason = DowngradeNotAllowed;
    assert_eq!(
        bench.fleet.target_state(id, bench.robot),
        TargetState::Failed { reason }
    );
    assert_eq!(
        bench.fleet.outcome(id),
        Some(Completion::Failure),
        "E17: it counts as failed"
    );
}

#[test]
fn e15_an_unanswered_request_is_not_sent_again_over_a_newer_version() {
    let mut bench = Bench::new("os@2.0.0", None);
    bench.connect(reports("os", "1.0.0", ""));
    let id = bench.create("os@2.0.0", No);
    bench.fleet.launch(id).unwrap();
    assert_eq!(bench.fleet.requests().len(), 1);
    bench.fleet.disconnect(bench.robot);
    bench.connect(reports("os", "3.0.0", ""));
    bench.fleet.pass(4 * 300_000);
    assert!(bench.fleet.requests().is_empty());
    let reason = FailureReason::RequestTimeout;
    assert_eq!(
        bench.fleet.target_state(id, bench.robot),
        TargetState::Failed { reason }
    );
}

#[test]
fn x7_the_preview_says_who_will_fail_and_does_not_judge_the_silent() {
    let mut bench = Bench::new("os@2.0.0", None);
    let id = bench.create("os@2.0.0", No);
    assert_eq!(bench.previewed(id), Check::Unreported);
    bench.connect(reports("os", "3.0.0", ""));
    assert_eq!(bench.previewed(id), fails(DowngradeNotAllowed));
    // X4: that it will fail now is a change since the preview.
    assert_eq!(bench.fleet.launch(id).unwrap_err().code(), "drifted");
}

/// E16 and the contract: 1.0.0+a and 1.0.0+b are two images, the same reference twice is refused.
#[test]
fn versions_are_unique_for_each_image_name_build_included() {
    let mut fleet = Fleet::default();
    fleet.image("os@1.0.0", &["hw"]);
    fleet.image("os@1.0.0+a", &["hw"]);
    fleet.image("os@1.0.0+b", &["hw"]);
    fleet.image("arm@1.0.0", &["hw"]);
    let spec = ImageSpec {
        reference: "os@1.0.0+a".parse().unwrap(),
        hardware_ids: vec![hw("hw")],
        model: None,
        build_id: None,
        from_version: None,
        url: "http://127.0.0.1/other".into(),
        hosted: false,
        size: 2,
        sha256: [8; 32],
    };
    let again = fleet.command(Command::AddImage(spec));
    assert_eq!(again.unwrap_err().code(), "image_exists");
}

#[test]
fn the_same_version_with_other_bytes_is_sent_again() {
    let mut bench = Bench::new("os@2.0.0", None);
    bench.connect(ReportedImage {
        digest: Some([1; 32]),
        ..reports("os", "2.0.0", "")
    });
    let id = bench.create("os@2.0.0", No);
    assert_eq!(bench.previewed(id), SEND);
}

#[test]
fn an_edit_can_force_a_downgrade_before_the_launch() {
    let mut bench = Bench::new("os@1.0.0", None);
    bench.connect(reports("os", "2.0.0", ""));
    let id = bench.create("os@1.0.0", No);
    let edit = Box::new(RolloutEdit {
        force_downgrade: Some(All),
        ..RolloutEdit::default()
    });
    bench
        .fleet
        .command(Command::EditRollout { rollout: id, edit })
        .unwrap();
    assert_eq!(bench.previewed(id), forced(DowngradeNotAllowed));
    bench.fleet.launch(id).unwrap();
    assert_eq!(bench.fleet.requests().len(), 1);
}
