//! The ledger as a source (requirements, section 2: G2, G11, the DCL record's fields and rules).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::ledger::*;
use fleet::*;
use rollcall_engine::*;

fn fault(refused: Result<Reply, Refusal>) -> LedgerFault {
    match refused.unwrap_err() {
        Refusal::BadLedgerRecord { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_is_its_own_console_until_it_follows_a_ledger() {
    let mut fleet = following();
    fleet
        .command(Command::RemoveChannel { name: channel() })
        .unwrap();
    let groups = Default::default();
    let name = channel();
    fleet.command(Command::AddChannel { name, groups }).unwrap();
    let is = |fleet: &Fleet| fleet.state.channel("matter").unwrap().source.clone();
    assert_eq!(is(&fleet), Source::Console);
    let refused = fleet.record(record(1)).unwrap_err();
    assert_eq!(refused.code(), "not_from_ledger");
    fleet.source(Source::Ledger(source())).unwrap();
    assert_eq!(is(&fleet), Source::Ledger(source()));
    assert_eq!(fleet.source(Source::Ledger(source())), Ok(Reply::Stale));
}

#[test]
fn a_source_needs_a_product_with_boards_an_interval_and_a_url() {
    let mut fleet = following();
    let mut refused = |change: &dyn Fn(&mut LedgerSource)| {
        let mut source = source();
        change(&mut source);
        fleet.source(Source::Ledger(source)).unwrap_err().code()
    };
    assert_eq!(refused(&|s| s.product.vid = 0), "no_such_product");
    assert_eq!(refused(&|s| s.product.pid = 0), "no_such_product");
    assert_eq!(
        refused(&|s| s.hardware_ids.clear()),
        "product_without_hardware"
    );
    let many = |s: &mut LedgerSource| {
        s.hardware_ids = (0..33).map(|n| hw(&format!("hw{n}"))).collect();
    };
    assert_eq!(refused(&many), "too_many");
    assert_eq!(refused(&|s| s.every = 59_999), "out_of_range");
    assert_eq!(refused(&|s| s.every = 604_800_001), "out_of_range");
    for url in [
        "",
        "ftp://x",
        "https://",
        "https:///dcl",
        "http://a b",
        "on.dcl",
        "https://me:secret@on.dcl",
        "https://on.dcl?x",
        "https://on.dcl#x",
    ] {
        let url = url.to_owned();
        let rest = move |s: &mut LedgerSource| s.origin = LedgerOrigin::Rest { url: url.clone() };
        assert_eq!(refused(&rest), "bad_ledger_url");
    }
    let long = |s: &mut LedgerSource| {
        s.origin = LedgerOrigin::Rest {
            url: format!("https://{}", "a".repeat(2_048)),
        };
    };
    assert_eq!(refused(&long), "too_long");
    let unknown = Command::SetChannelSource {
        channel: ChannelName::new("beta").unwrap(),
        source: Source::Ledger(source()),
    };
    assert_eq!(
        fleet.command(unknown.clone()).unwrap_err().code(),
        "unknown_channel"
    );
    fleet
        .command(Command::AddChannel {
            name: ChannelName::new("beta").unwrap(),
            groups: Default::default(),
        })
        .unwrap();
    let refused = fleet.command(unknown).unwrap_err();
    assert_eq!(refused.code(), "product_followed");
    assert!(refused.to_string().contains("0xFFF1/0x8000"), "{refused}");
}

#[test]
fn a_record_is_taken_once_and_its_changes_are() {
    let mut fleet = following();
    assert_eq!(fleet.record(record(1)), Ok(Reply::Done));
    assert_eq!(fleet.record(record(1)), Ok(Reply::Stale), "nothing new");
    let changed = LedgerRecord {
        ota_url: "https://elsewhere.example/1.ota".into(),
        release_notes_url: "https://vendor.example/notes".into(),
        min_applicable_software_version: 0,
        max_applicable_software_version: 9,
        software_version_valid: false,
        schema_version: 1,
        ..record(1)
    };
    fleet.now = 50;
    assert_eq!(fleet.record(changed.clone()), Ok(Reply::Done));
    assert_eq!(fleet.version(1).record, changed);
    assert_eq!(fleet.version(1).recorded, Timestamp(0));
}

type Change = fn(&mut LedgerRecord);

/// Section 2: all of URL, size, checksum and type, or none; the six digests and their lengths; min <= max; the source's
/// product; bounded texts.
#[test]
fn a_record_that_breaks_a_rule_is_refused_with_the_rule() {
    let bad: [(Change, &str); 24] = [
        (|r| r.vid = 1, "0x0001/0x8000"),
        (|r| r.pid = 1, "0xFFF1/0x0001"),
        (|r| r.software_version_string.clear(), "is empty"),
        (|r| r.software_version_string = "x".repeat(65), "64 bytes"),
        (|r| r.software_version_string = "1.0\n".into(), "printed"),
        (
            |r| r.software_version_string = "1.0 beta".into(),
            "version of an image",
        ),
        (|r| r.firmware_information = "x".repeat(513), "512 bytes"),
        (
            |r| r.ota_url = format!("https://{}", "x".repeat(256)),
            "256 bytes",
        ),
        (|r| r.release_notes_url = "x".repeat(257), "256 bytes"),
        (
            |r| r.release_notes_url = "javascript:alert(1)".into(),
            "https://",
        ),
        (|r| r.ota_url = "file:///etc/passwd".into(), "https://"),
        (|r| r.ota_url.clear(), "otaFileSize is set"),
        (|r| r.ota_file_size = 0, "otaFileSize is not"),
        (|r| r.ota_checksum.clear(), "otaChecksum is not"),
        (|r| r.ota_checksum_type = 0, "otaChecksumType is not"),
        (
            |r| (r.ota_url, r.ota_file_size) = (String::new(), 0),
            "otaChecksum is set",
        ),
        (|r| r.ota_checksum_type = 2, "otaChecksumType 2"),
        (|r| r.ota_checksum_type = 9, "otaChecksumType 9"),
        (|r| r.ota_checksum_type = 65_535, "65535"),
        (|r| r.ota_checksum = "not base64!".into(), "base64"),
        (|r| r.ota_checksum = "x".repeat(89), "88 bytes"),
        (
            |r| r.ota_checksum = "CQkJ".into(),
            "3 bytes, and SHA-256 has 32",
        ),
        (|r| r.ota_checksum_type = 7, "32 bytes, and SHA-384 has 48"),
        (|r| r.min_applicable_software_version = 99, "99 is greater"),
    ];
    let mut fleet = following();
    for (change, words) in bad {
        let mut record = record(2);
        change(&mut record);
        let refused = fleet.record(record).unwrap_err();
        assert_eq!(refused.code(), "bad_ledger_record");
        let text = refused.to_string();
        assert!(
            text.contains("version 2 ") && text.contains(words),
            "{text}"
        );
    }
    // G: each is named, the rest imported.
    fleet.record(record(3)).unwrap();
}

#[test]
fn every_digest_of_the_ledger_is_known_with_its_length() {
    let mut fleet = following();
    for (n, (kind, bytes)) in [(1, 32), (7, 48), (8, 64), (10, 32), (11, 48), (12, 64)]
        .into_iter()
        .enumerate()
    {
        use base64::Engine as _;
        let checksum = base64::engine::general_purpose::STANDARD.encode(vec![9; bytes]);
        let of = |checksum: String| LedgerRecord {
            ota_checksum_type: kind,
            ota_checksum: checksum,
            ..record(u32::try_from(n).unwrap() + 1)
        };
        let found = of(checksum.clone()).file().unwrap();
        assert_eq!(found.kind as u16, kind);
        assert_eq!(found.checksum, vec![9; bytes]);
        fleet.record(of(checksum)).unwrap();
        let short = base64::engine::general_purpose::STANDARD.encode(vec![9; bytes - 1]);
        assert_eq!(of(short).file(), None);
    }
}

#[test]
fn a_version_without_a_file_may_be_called_anything() {
    let mut fleet = following();
    let factory = LedgerRecord {
        software_version_string: "factory 1".into(),
        ota_url: String::new(),
        ota_file_size: 0,
        ota_checksum: String::new(),
        ota_checksum_type: 0,
        ..record(1)
    };
    fleet.record(factory.clone()).unwrap();
    assert_eq!(
        fleet.attach(1, file()).unwrap_err().code(),
        "not_the_ledgers_file"
    );
    // A file that comes later is no change of what was said.
    let later = LedgerRecord {
        software_version_string: "factory 1".into(),
        ..record(1)
    };
    assert!(matches!(
        fault(fleet.record(later)),
        LedgerFault::NoImageVersion { .. }
    ));
    let mut plain = factory;
    plain.software_version = 5;
    plain.software_version_string = "5.0.0".into();
    fleet.record(plain).unwrap();
    fleet.record(record(5)).unwrap();
    assert!(fleet.version(5).record.file().is_some());
}

/// Section 2: size, checksum and type never change once published.
#[test]
fn a_ledger_that_changes_what_never_changes_is_not_believed() {
    let mut fleet = imported();
    let changes: [(Change, &str); 7] = [
        (
            |r| r.software_version_string = "2.0.1".into(),
            "softwareVersionString",
        ),
        (|r| r.cd_version_number = 2, "cdVersionNumber"),
        (
            |r| r.firmware_information = "x".into(),
            "firmwareInformation",
        ),
        (|r| r.ota_file_size = 8, "otaFileSize"),
        (
            |r| r.ota_checksum = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=".into(),
            "otaChecksum",
        ),
        (|r| r.ota_checksum_type = 10, "otaChecksumType"),
        (
            |r| {
                r.ota_url.clear();
                r.ota_file_size = 0;
                r.ota_checksum.clear();
                r.ota_checksum_type = 0;
            },
            "otaFileSize",
        ),
    ];
    for (change, what) in changes {
        let mut record = record(2);
        change(&mut record);
        assert_eq!(fault(fleet.record(record)), LedgerFault::Changed { what });
    }
    assert_eq!(fleet.version(2).record, record(2));
    assert_eq!(fleet.version(2).withdrawn(), None);
}

#[test]
fn one_word_of_robots_means_one_version() {
    let mut fleet = imported();
    let twin = LedgerRecord {
        software_version_string: "2.0.0".into(),
        ..record(9)
    };
    let found = fault(fleet.record(twin));
    assert!(
        matches!(found, LedgerFault::SameString { other: 2, .. }),
        "{found:?}"
    );
}

#[test]
fn a_product_has_a_bounded_number_of_versions() {
    let mut fleet = following();
    for number in 1..=1_000 {
        fleet.record(record(number)).unwrap();
    }
    assert_eq!(fleet.record(record(1_001)).unwrap_err().code(), "too_many");
    assert_eq!(fleet.record(record(7)), Ok(Reply::Stale));
}

#[test]
fn a_file_that_is_the_ledgers_makes_its_version_an_image() {
    let mut fleet = imported();
    let key = fleet.version(2).image.unwrap();
    let image = fleet.state.image(key).unwrap();
    assert_eq!(image.reference.to_string(), IMAGE);
    assert_eq!(image.hardware_ids, [hw("hw")].into());
    assert!(image.hosted && image.url == "t0" && image.size == 7);
    let matter = fleet.state.channel("matter").unwrap().key;
    let of = LedgerImage {
        channel: matter,
        number: 2,
    };
    assert_eq!(image.ledger, Some(of));
    // A second time, another file, a version that is not there or withdrawn.
    assert_eq!(fleet.attach(2, file()).unwrap_err().code(), "image_exists");
    let other = |change: fn(&mut StoredFile)| {
        let mut file = file();
        change(&mut file);
        file
    };
    for wrong in [
        other(|f| f.size = 8),
        other(|f| f.sha256 = [8; 32]),
        // It was checked against what another source had said.
        other(|f| f.checksum[0] = 8),
    ] {
        assert_eq!(
            fleet.attach(3, wrong).unwrap_err().code(),
            "not_the_ledgers_file"
        );
    }
    assert_eq!(
        fleet.attach(8, file()).unwrap_err().code(),
        "unknown_ledger_version"
    );
    fleet.vanish(3).unwrap();
    assert_eq!(
        fleet.attach(3, file()).unwrap_err().code(),
        "ledger_version_withdrawn"
    );
}

#[test]
fn why_a_file_is_not_here_is_kept_until_it_is() {
    let mut fleet = imported();
    let mut note = |number, problem: &str| {
        fleet.command(Command::NoteLedgerProblem {
            channel: channel(),
            number,
            problem: problem.into(),
        })
    };
    assert_eq!(note(3, "404"), Ok(Reply::Done));
    assert_eq!(note(3, "404"), Ok(Reply::Stale));
    assert_eq!(note(2, "404"), Ok(Reply::Stale), "its file is here");
    assert_eq!(note(9, "404").unwrap_err().code(), "unknown_ledger_version");
    assert_eq!(note(3, &"ä".repeat(1_000)), Ok(Reply::Done));
    assert_eq!(fleet.version(3).problem.as_ref().unwrap().len(), 512);
    fleet.attach(3, file()).unwrap();
    assert_eq!(fleet.version(3).problem, None);
}

/// G11: read-only, with the reason.
#[test]
fn an_image_of_the_ledger_cannot_be_removed_while_the_ledger_has_it() {
    let mut fleet = imported();
    let remove = Command::RemoveImage {
        image: IMAGE.parse().unwrap(),
    };
    let refused = fleet.command(remove.clone()).unwrap_err();
    assert_eq!(refused.code(), "image_of_ledger");
    assert!(
        refused
            .to_string()
            .contains("channel source matter console")
    );
    fleet.source(Source::Console).unwrap();
    fleet.command(remove.clone()).unwrap();
    assert_eq!(fleet.version(2).image, None);
    // It comes back with its file.
    fleet.source(Source::Ledger(source())).unwrap();
    fleet.attach(2, file()).unwrap();
    fleet.vanish(2).unwrap();
    fleet.command(remove).unwrap();
}

#[test]
fn an_ecu_is_offered_what_may_be_installed_over_what_it_runs() {
    let (_, _, state) = offered_to("1.0.0");
    assert_eq!(state, TargetState::Requested);
}

#[test]
fn an_ecu_outside_of_the_applicable_versions_is_not_offered_it() {
    let (mut fleet, rollout, state) = offered_to("3.0.0");
    let reason = SkipReason::LedgerVersionNotApplicable;
    assert_eq!(state, TargetState::Skipped { reason });
    assert!(fleet.requests().is_empty());
    let robot = RobotKey(1);
    let why = fleet.state.why(rollout, robot).unwrap();
    assert!(
        why[0].remedy.contains("channel ledger"),
        "{}",
        why[0].remedy
    );
}

#[test]
fn an_ecu_that_runs_what_the_ledger_does_not_know_is_not_offered_anything() {
    let (mut fleet, _, state) = offered_to("0.9.0");
    let reason = SkipReason::LedgerVersionUnknown;
    assert_eq!(state, TargetState::Skipped { reason });
    assert!(fleet.requests().is_empty());
}

/// The bounds belong to the range, and what is valid is looked up by what the ECU reports now.
#[test]
fn both_ends_of_the_range_are_in_it() {
    for (min, max, offered) in [(1, 1, true), (1, 3, true), (2, 3, false), (0, 0, false)] {
        let mut fleet = imported();
        fleet
            .record(LedgerRecord {
                min_applicable_software_version: min,
                max_applicable_software_version: max,
                ..record(2)
            })
            .unwrap();
        let robot = fleet.robots(1)[0];
        fleet.online_with(robot, 1, "1.0.0");
        let rollout = fleet.maps(IMAGE).unwrap();
        fleet.launch(rollout).unwrap();
        let sent = fleet.target_state(rollout, robot) == TargetState::Requested;
        assert_eq!(sent, offered, "{min} to {max}");
    }
}

/// E15: at every dispatch anew, not only at creation.
#[test]
fn the_range_is_asked_again_when_the_robot_comes() {
    let mut fleet = imported();
    let robot = fleet.robots(1)[0];
    let rollout = fleet.maps(IMAGE).unwrap();
    fleet.launch(rollout).unwrap();
    fleet
        .record(LedgerRecord {
            min_applicable_software_version: 0,
            max_applicable_software_version: 0,
            ..record(2)
        })
        .unwrap();
    fleet.online_with(robot, 1, "1.0.0");
    let reason = SkipReason::LedgerVersionNotApplicable;
    assert_eq!(
        fleet.target_state(rollout, robot),
        TargetState::Skipped { reason }
    );
}

#[test]
fn a_version_and_a_build_that_an_edgehog_device_says_apart_are_looked_up_together() {
    let mut fleet = following();
    let built = |number, text: &str| LedgerRecord {
        software_version_string: text.into(),
        ..record(number)
    };
    fleet.record(built(1, "1.0.0+b7")).unwrap();
    fleet.record(record(2)).unwrap();
    fleet.attach(2, file()).unwrap();
    for (build, offered) in [("b7", true), ("b8", false)] {
        let robot = fleet.robot(&format!("r-{build}"), &[ecu("main", "hw", true)]);
        fleet.connect(robot);
        fleet.manifest(robot, 1).unwrap();
        let image = ReportedImage {
            build_id: build.into(),
            ..reported("1.0.0")
        };
        fleet.base_image(robot, "main", image).unwrap();
        let mut spec = fleet.spec(fleet.all(), &[("hw", IMAGE)]);
        let id = RobotId::new(&format!("r-{build}")).unwrap();
        spec.target = TargetSelection::Robots(vec![id]);
        let rollout = fleet.create(spec).unwrap();
        fleet.launch(rollout).unwrap();
        let sent = fleet.target_state(rollout, robot) == TargetState::Requested;
        assert_eq!(sent, offered, "{build}");
    }
}

/// The ledger's numbers order its versions, whatever they are called.
#[test]
fn an_older_number_is_a_downgrade_though_its_name_says_otherwise() {
    let mut fleet = following();
    let called = |number, text: &str| LedgerRecord {
        software_version_string: text.into(),
        min_applicable_software_version: 0,
        max_applicable_software_version: 9,
        ..record(number)
    };
    fleet.record(called(1, "spring")).unwrap();
    fleet.record(called(2, "9.9.9")).unwrap();
    fleet.record(called(3, "1.0.0")).unwrap();
    fleet.attach(2, file()).unwrap();
    for (running, state) in [
        ("spring", TargetState::Requested),
        (
            "1.0.0",
            TargetState::Failed {
                reason: FailureReason::DowngradeNotAllowed,
            },
        ),
    ] {
        let robot = fleet.robot(&format!("r-{}", running.len()), &[ecu("main", "hw", true)]);
        fleet.connect(robot);
        fleet.manifest(robot, 1).unwrap();
        fleet.base_image(robot, "main", reported(running)).unwrap();
        let mut spec = fleet.spec(fleet.all(), &[("hw", "dcl-fff1-8000@9.9.9")]);
        let id = fleet.state.robot(robot).unwrap().id.clone();
        spec.target = TargetSelection::Robots(vec![id]);
        let rollout = fleet.create(spec).unwrap();
        fleet.launch(rollout).unwrap();
        assert_eq!(fleet.target_state(rollout, robot), state, "{running}");
    }
}

/// Section 2: `softwareVersionValid=false` withdraws a version; so does a ledger that no longer lists it.
#[test]
fn what_is_withdrawn_is_not_offered_and_can_come_back() {
    let invalid = || LedgerRecord {
        software_version_valid: false,
        ..record(2)
    };
    for vanishes in [true, false] {
        let mut fleet = imported();
        let robot = fleet.robots(1)[0];
        let open = fleet.maps(IMAGE).unwrap();
        fleet.launch(open).unwrap();
        if vanishes {
            fleet.vanish(2).unwrap();
            assert_eq!(fleet.version(2).withdrawn(), Some(Withdrawn::Vanished));
            assert_eq!(fleet.vanish(2), Ok(Reply::Stale));
        } else {
            fleet.record(invalid()).unwrap();
            assert_eq!(fleet.version(2).withdrawn(), Some(Withdrawn::Invalid));
        }
        fleet.online_with(robot, 1, "1.0.0");
        let reason = SkipReason::LedgerWithdrawn;
        assert_eq!(
            fleet.target_state(open, robot),
            TargetState::Skipped { reason }
        );
        assert!(fleet.requests().is_empty());
        assert_eq!(fleet.maps(IMAGE).unwrap_err().code(), "image_withdrawn");
        fleet.record(record(2)).unwrap();
        assert_eq!(fleet.version(2).withdrawn(), None);
        let again = fleet.maps(IMAGE).unwrap();
        fleet.launch(again).unwrap();
        assert_eq!(fleet.target_state(again, robot), TargetState::Requested);
    }
}

/// What was to go out with this batch does not, when the ledger withdraws it in the same.
#[test]
fn a_request_that_is_not_out_yet_is_not_wanted_when_its_version_is_withdrawn() {
    let (mut fleet, _, state) = offered_to("1.0.0");
    assert_eq!(state, TargetState::Requested);
    let requests: Vec<_> = std::mem::take(&mut fleet.effects)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Request(request) => Some(request),
            _ => None,
        })
        .collect();
    assert!(fleet.state.is_wanted(&requests[0]));
    fleet.vanish(2).unwrap();
    assert!(!fleet.state.is_wanted(&requests[0]));
}

/// E19, X8: by hand over any version, but not what the vendor has withdrawn.
#[test]
fn by_hand_a_version_goes_over_any_other_unless_it_is_withdrawn() {
    let mut fleet = imported();
    let robot = fleet.robots(1)[0];
    fleet.online_with(robot, 1, "0.9.0");
    let by_hand = Command::ManualUpdate(ManualUpdate {
        robot: RobotId::new("r1").unwrap(),
        ecu: None,
        image: IMAGE.parse().unwrap(),
        confirm: "r1".into(),
        offline: None,
        deadline: None,
    });
    fleet.command(by_hand.clone()).unwrap();
    assert_eq!(fleet.requests().len(), 1);
    fleet.vanish(2).unwrap();
    let refused = fleet.command(by_hand).unwrap_err();
    assert_eq!(refused.code(), "image_withdrawn");
}

#[test]
fn what_was_imported_of_a_product_stays_with_it_and_goes_with_another() {
    let mut fleet = imported();
    fleet.source(Source::Console).unwrap();
    assert_eq!(fleet.version(2).record, record(2));
    let elsewhere = LedgerSource {
        origin: LedgerOrigin::Rest {
            url: "https://on.dcl.csa-iot.org".into(),
        },
        hardware_ids: [hw("hw"), hw("hw2")].into(),
        ..source()
    };
    fleet.source(Source::Ledger(elsewhere)).unwrap();
    let key = fleet.version(2).image.unwrap();
    let boards = &fleet.state.image(key).unwrap().hardware_ids;
    assert_eq!(*boards, [hw("hw"), hw("hw2")].into());
    let other = LedgerSource {
        product: Product {
            vid: 0xfff1,
            pid: 0x8001,
        },
        ..source()
    };
    fleet.now = 9;
    let changed = Command::SetChannelSource {
        channel: channel(),
        source: Source::Ledger(other),
    };
    let by = Actor("op".into());
    let outcome = fleet.state.apply(
        Timestamp(9),
        Input::Command {
            by,
            command: changed,
        },
    );
    let matter = fleet.state.channel("matter").unwrap().key;
    for number in 1..=3 {
        let row = Row::LedgerVersion(matter, number);
        assert!(outcome.touched.contains(&row), "{number}");
    }
    assert_eq!(fleet.state.ledger_versions(matter).count(), 0);
    let image = fleet.state.image(key).unwrap();
    assert!(fleet.state.is_withdrawn(image));
    assert_eq!(fleet.maps(IMAGE).unwrap_err().code(), "image_withdrawn");
    fleet
        .command(Command::RemoveImage {
            image: IMAGE.parse().unwrap(),
        })
        .unwrap();
}

fn follow_other(fleet: &mut Fleet) {
    let product = Product {
        vid: 0xfff1,
        pid: 0x8001,
    };
    let other = LedgerSource {
        product,
        ..source()
    };
    fleet.source(Source::Ledger(other)).unwrap();
}

/// A product that comes back finds its files here, on the boards that it has now.
#[test]
fn a_product_that_comes_back_has_its_images_again() {
    let mut fleet = imported();
    let key = fleet.version(2).image.unwrap();
    follow_other(&mut fleet);
    let boards = LedgerSource {
        hardware_ids: [hw("hw"), hw("hw2")].into(),
        ..source()
    };
    fleet.source(Source::Ledger(boards)).unwrap();
    assert!(fleet.state.is_withdrawn(fleet.state.image(key).unwrap()));
    fleet.record(record(2)).unwrap();
    assert_eq!(fleet.version(2).image, Some(key));
    let image = fleet.state.image(key).unwrap();
    assert!(!fleet.state.is_withdrawn(image));
    assert_eq!(image.hardware_ids, [hw("hw"), hw("hw2")].into());
}

/// The other channel has the image then, and gives it back.
#[test]
fn a_product_that_another_channel_follows_brings_its_images_there() {
    let mut fleet = imported();
    let key = fleet.version(2).image.unwrap();
    fleet.source(Source::Console).unwrap();
    let beta = ChannelName::new("beta").unwrap();
    let (name, groups) = (beta.clone(), Default::default());
    fleet.command(Command::AddChannel { name, groups }).unwrap();
    let set = |fleet: &mut Fleet, source: Source| {
        let channel = beta.clone();
        fleet.command(Command::SetChannelSource { channel, source })
    };
    set(&mut fleet, Source::Ledger(source())).unwrap();
    let there = fleet.state.channel("beta").unwrap().key;
    let said = fleet.command(Command::RecordLedgerVersion {
        channel: beta.clone(),
        reading: source().reading(there),
        record: Box::new(record(2)),
    });
    assert_eq!(said, Ok(Reply::Done));
    let of = |fleet: &Fleet| fleet.state.image(key).unwrap().ledger.unwrap().channel;
    assert_eq!(of(&fleet), there);
    assert_eq!(fleet.version(2).image, None, "one channel has it");
    set(&mut fleet, Source::Console).unwrap();
    fleet.source(Source::Ledger(source())).unwrap();
    assert_eq!(
        fleet.record(record(2)),
        Ok(Reply::Done),
        "its image is back"
    );
    assert_eq!(fleet.record(record(2)), Ok(Reply::Stale));
    assert_eq!(fleet.version(2).image, Some(key));
    assert_ne!(of(&fleet), there);
}

/// Other digests than SHA-256 are not known here, so the file is fetched and found to be the same.
#[test]
fn a_file_that_is_here_already_is_not_kept_twice() {
    let sha512 = || LedgerRecord {
        ota_checksum_type: 8,
        ota_checksum: format!("{}==", "CQkJ".repeat(21) + "CQ"),
        ..record(2)
    };
    let file = || StoredFile {
        checksum: vec![9; 64],
        ..file()
    };
    let mut fleet = following();
    fleet.record(sha512()).unwrap();
    fleet.attach(2, file()).unwrap();
    let key = fleet.version(2).image.unwrap();
    follow_other(&mut fleet);
    fleet.source(Source::Ledger(source())).unwrap();
    fleet.record(sha512()).unwrap();
    assert_eq!(fleet.version(2).image, None);
    let other = StoredFile {
        sha256: [8; 32],
        ..file()
    };
    assert_eq!(fleet.attach(2, other).unwrap_err().code(), "image_exists");
    let again = StoredFile {
        token: "t1".into(),
        ..file()
    };
    assert_eq!(fleet.attach(2, again), Ok(Reply::Stale));
    assert_eq!(fleet.version(2).image, Some(key));
    assert_eq!(fleet.state.image(key).unwrap().url, "t0");
}

/// A reading that began before the channel got another source says nothing about that.
#[test]
fn a_reading_of_a_former_source_is_not_taken() {
    let mut fleet = imported();
    let former = fleet.reading();
    let say = |fleet: &mut Fleet, reading: &LedgerReading| {
        let withdrawn = fleet.command(Command::WithdrawLedgerVersion {
            channel: channel(),
            reading: reading.clone(),
            number: 2,
        });
        let recorded = fleet.command(Command::RecordLedgerVersion {
            channel: channel(),
            reading: reading.clone(),
            record: Box::new(record(2)),
        });
        [withdrawn, recorded].map(|said| said.unwrap_err().code())
    };
    let elsewhere = LedgerSource {
        origin: LedgerOrigin::Rest {
            url: "https://on.dcl.csa-iot.org".into(),
        },
        ..source()
    };
    fleet.source(Source::Ledger(elsewhere)).unwrap();
    assert_eq!(say(&mut fleet, &former), ["ledger_source_changed"; 2]);
    assert_eq!(fleet.version(2).withdrawn(), None);
    let other = LedgerSource {
        product: Product {
            vid: 0xfff1,
            pid: 0x8001,
        },
        ..source()
    };
    fleet.source(Source::Ledger(other)).unwrap();
    assert_eq!(say(&mut fleet, &former), ["ledger_source_changed"; 2]);
    // A channel that only has the same name.
    fleet
        .command(Command::RemoveChannel { name: channel() })
        .unwrap();
    let (name, groups) = (channel(), Default::default());
    fleet.command(Command::AddChannel { name, groups }).unwrap();
    fleet.source(Source::Ledger(source())).unwrap();
    assert_eq!(say(&mut fleet, &former), ["ledger_source_changed"; 2]);
    // Other boards are no other source.
    let reading = fleet.reading();
    let boards = LedgerSource {
        hardware_ids: [hw("hw2")].into(),
        ..source()
    };
    fleet.source(Source::Ledger(boards)).unwrap();
    assert_eq!(fleet.reading(), reading);
}

#[test]
fn a_channel_takes_what_was_imported_with_it() {
    let mut fleet = imported();
    let matter = fleet.state.channel("matter").unwrap().key;
    let key = fleet.version(2).image.unwrap();
    fleet
        .command(Command::RemoveChannel { name: channel() })
        .unwrap();
    assert_eq!(fleet.state.ledger_versions(matter).count(), 0);
    let image = fleet.state.image(key).unwrap();
    assert!(fleet.state.is_withdrawn(image));
}

/// The JSON of a DCL node: 64-bit numbers are texts, and there is more than we know.
#[test]
fn a_record_is_read_as_a_node_writes_it() {
    let json = r#"{"vid": 65521, "pid": 32768, "softwareVersion": 2, "softwareVersionString": "2.0.0",
        "cdVersionNumber": 1, "firmwareInformation": "", "softwareVersionValid": true,
        "otaUrl": "https://vendor.example/2.ota", "otaFileSize": "7", "otaChecksum": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=",
        "otaChecksumType": 1, "minApplicableSoftwareVersion": 1, "maxApplicableSoftwareVersion": "1",
        "releaseNotesUrl": "", "creator": "cosmos1xyz", "schemaVersion": 0, "specificationVersion": 0}"#;
    let read: LedgerRecord = serde_json::from_str(json).unwrap();
    assert_eq!(read, record(2));
    let stored = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<LedgerRecord>(&stored).unwrap(), read);
    for (from, to, words) in [
        ("65521", "65536", "16 bits"),
        ("65521", "-1", "not below 0"),
        ("\"7\"", "\"7.5\"", "64 bits"),
        ("\"7\"", "\"+7\"", "64 bits"),
        ("\"7\"", "\"\"", "64 bits"),
        ("\"7\"", "\"18446744073709551616\"", "64 bits"),
        (
            "\"softwareVersion\": 2",
            "\"softwareVersion\": 4294967296",
            "32 bits",
        ),
        (
            "\"softwareVersion\": 2",
            "\"softwareVersion\": null",
            "32 bits",
        ),
        (
            "\"softwareVersion\": 2",
            "\"software\": 2",
            "softwareVersion",
        ),
        ("true", "1", "boolean"),
        // A record that is cut down must withdraw nothing.
        ("softwareVersionValid", "x", "softwareVersionValid"),
        (
            "minApplicableSoftwareVersion",
            "x",
            "minApplicableSoftwareVersion",
        ),
        (
            "maxApplicableSoftwareVersion",
            "x",
            "maxApplicableSoftwareVersion",
        ),
    ] {
        let bad = json.replacen(from, to, 1);
        let error = serde_json::from_str::<LedgerRecord>(&bad).unwrap_err();
        assert!(error.to_string().contains(words), "{to}: {error}");
    }
}
