//! Rows come back as they were, whatever the engine put into them.

use super::*;
use crate::store::Options;
use crate::store::{Batch, RedbStore, Store};
use rollcall_engine::*;

/// What channel `production`, the first one, follows.
fn reading() -> LedgerReading {
    LedgerReading {
        channel: ChannelKey(1),
        product: Product {
            vid: 0xfff1,
            pid: 0x8000,
        },
        origin: LedgerOrigin::Rest {
            url: "https://on.dcl.csa-iot.org".into(),
        },
    }
}

fn commands() -> Vec<Command> {
    let robot = |id: &str| {
        Command::AddRobot(RobotSpec {
            id: RobotId::new(id).unwrap(),
            name: Some("R".into()),
            model: Some(Model::new("m1").unwrap()),
            labels: [("site".to_owned(), "kiel".to_owned())].into(),
            tags: [Tag::new("canary").unwrap()].into(),
            ecus: vec![
                EcuSpec {
                    name: EcuName::new("main").unwrap(),
                    hardware_id: HardwareId::new("hw").unwrap(),
                    primary: true,
                },
                EcuSpec {
                    name: EcuName::new("arm").unwrap(),
                    hardware_id: HardwareId::new("hw").unwrap(),
                    primary: false,
                },
            ],
            secret: [7; 32],
        })
    };
    let image = ImageSpec {
        reference: "os@2.0.0".parse().unwrap(),
        hardware_ids: vec![HardwareId::new("hw").unwrap()],
        model: None,
        build_id: Some("b7".into()),
        from_version: Some("~> 1.5 or == 1.0.0".parse().unwrap()),
        url: "http://127.0.0.1/x".into(),
        hosted: false,
        size: 9,
        sha256: [3; 32],
    };
    let rollout = |target| {
        Command::CreateRollout(Box::new(RolloutSpec {
            name: RolloutName::new("r").unwrap(),
            target,
            images: vec![(HardwareId::new("hw").unwrap(), "os@2.0.0".parse().unwrap())],
            mechanism: Mechanism::default(),
        }))
    };
    let ledger = |number: u32, size: u64| {
        let with_file = |text: &str| text.repeat(usize::from(size > 0));
        Command::RecordLedgerVersion {
            channel: ChannelName::new("production").unwrap(),
            reading: reading(),
            record: Box::new(LedgerRecord {
                vid: 0xfff1,
                pid: 0x8000,
                software_version: number,
                software_version_string: format!("{number}.0"),
                cd_version_number: 12,
                firmware_information: "information".into(),
                software_version_valid: number != 3,
                ota_url: with_file("https://vendor.example/ota"),
                ota_file_size: size,
                ota_checksum: with_file("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="),
                ota_checksum_type: u16::from(size > 0),
                min_applicable_software_version: number,
                max_applicable_software_version: u32::MAX,
                release_notes_url: "https://vendor.example/notes".into(),
                schema_version: 5,
            }),
        }
    };
    let release = |image: &str, set: Option<ReleaseSet>| {
        Command::PublishRelease(Box::new(ReleaseSpec {
            channel: ChannelName::new("all").unwrap(),
            what: Released::Image(image.parse().unwrap()),
            percentage: set.is_none().then(|| Share::new(40).unwrap()),
            set,
            sampling: Sampling::Bernoulli,
            salt: Salt([9; 16]),
            mechanism: Mechanism::default(),
        }))
    };
    let group = GroupName::new("g").unwrap();
    let token = |name| {
        Command::AddPairingToken(PairingTokenSpec {
            name: TokenName::new(name).unwrap(),
            digest: [4; 32],
            expires: Some(Timestamp(99)),
            uses: Some(3),
        })
    };
    vec![
        robot("r1"),
        robot("r2"),
        Command::IssueCertificate {
            robot: RobotId::new("r1").unwrap(),
            serial: [5; 16],
            not_after: Timestamp(77),
            secret: None,
        },
        Command::InhibitCredentials {
            robot: RobotId::new("r1").unwrap(),
        },
        Command::RotateCredentials {
            robot: RobotId::new("r2").unwrap(),
            secret: [8; 32],
            allow_pairing: false,
        },
        token("line-1"),
        token("line-2"),
        Command::PairRobot {
            token: TokenKey(2),
            token_name: TokenName::new("line-2").unwrap(),
            robot: RobotId::new("r3").unwrap(),
            secret: [6; 32],
        },
        Command::RemovePairingToken {
            name: TokenName::new("line-1").unwrap(),
        },
        Command::AddGroup {
            name: group.clone(),
            robots: vec![RobotId::new("r2").unwrap()],
        },
        Command::AddImage(ImageSpec {
            reference: "os@1.0.0".parse().unwrap(),
            ..image.clone()
        }),
        Command::RemoveImage {
            image: "os@1.0.0".parse().unwrap(),
        },
        Command::AddSelectorGroup {
            name: GroupName::new("s").unwrap(),
            selector: r#""canary" in tags  and label["site"]=="kiel""#.parse().unwrap(),
        },
        Command::AddChannel {
            name: ChannelName::new("production").unwrap(),
            groups: ["g", "s"].map(|name| GroupName::new(name).unwrap()).into(),
        },
        Command::AddChannel {
            name: ChannelName::new("all").unwrap(),
            groups: [].into(),
        },
        Command::AddChannel {
            name: ChannelName::new("gone").unwrap(),
            groups: [].into(),
        },
        Command::RemoveChannel {
            name: ChannelName::new("gone").unwrap(),
        },
        Command::SetChannelSource {
            channel: ChannelName::new("production").unwrap(),
            source: Source::Ledger(LedgerSource {
                origin: LedgerOrigin::Rest {
                    url: "https://on.dcl.csa-iot.org".into(),
                },
                product: Product {
                    vid: 0xfff1,
                    pid: 0x8000,
                },
                hardware_ids: ["hw", "hw2"].map(|id| HardwareId::new(id).unwrap()).into(),
                every: 60_000,
            }),
        },
        ledger(1, 7),
        ledger(2, 7),
        ledger(3, 0),
        Command::NoteLedgerProblem {
            channel: ChannelName::new("production").unwrap(),
            number: 1,
            problem: "404".into(),
        },
        Command::AttachLedgerFile {
            channel: ChannelName::new("production").unwrap(),
            number: 2,
            file: StoredFile {
                token: "t0".into(),
                size: 7,
                sha256: [3; 32],
                checksum: vec![3; 32],
            },
        },
        Command::WithdrawLedgerVersion {
            channel: ChannelName::new("production").unwrap(),
            reading: reading(),
            number: 2,
        },
        Command::AddImage(image),
        rollout(TargetSelection::Group(group)),
        rollout(TargetSelection::Hardware(HardwareId::new("hw").unwrap())),
        rollout(TargetSelection::Selector(
            r#"hardware == "hw""#.parse().unwrap(),
        )),
        release("os@2.0.0", None),
        Command::RaiseRelease {
            release: ReleaseId(1),
            percentage: Share::new(80).unwrap(),
        },
        Command::StopRelease {
            release: ReleaseId(1),
        },
        release("os@2.0.0", Some(ReleaseSet::Same)),
        Command::LaunchRollout {
            rollout: RolloutId(1),
            accept_drift: false,
        },
        Command::ManualUpdate(ManualUpdate {
            robot: RobotId::new("r2").unwrap(),
            ecu: Some(EcuName::new("arm").unwrap()),
            image: "os@2.0.0".parse().unwrap(),
            confirm: "r2".into(),
            offline: None,
            deadline: None,
        }),
        Command::RemoveRobot {
            robot: RobotId::new("r1").unwrap(),
        },
    ]
}

#[test]
fn a_state_survives_the_way_through_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = RedbStore::open(dir.path(), Options::default()).unwrap();
    let mut state = State::default();
    let mut chains = Chains::default();
    for command in commands() {
        let outcome = state.apply(
            Timestamp(5),
            Input::Command {
                by: Actor("me".into()),
                command,
            },
        );
        outcome.reply.unwrap();
        chains.set_robot(RobotKey(2), 17);
        let rows = outcome
            .touched
            .iter()
            .filter_map(|row| change(&state, &chains, row))
            .collect();
        let batch = Batch {
            at_ms: 5,
            history: Vec::new(),
            rows,
            counters: encode_counters(state.counters()),
        };
        store.commit(batch).unwrap();
    }
    drop(store);
    let (store, recovered) = RedbStore::open(dir.path(), Options::default()).unwrap();
    let (loaded, _) = load(&store, &recovered).unwrap();
    assert_eq!(loaded.counters(), state.counters());
    // Since when nothing is under way on a robot is not stored.
    let robots = |state: &State| -> Vec<_> {
        let robots = state.robots(None).cloned();
        robots
            .map(|robot| Robot {
                active_since: Timestamp(0),
                ..robot
            })
            .collect()
    };
    assert_eq!(
        format!("{:?}", robots(&loaded)),
        format!("{:?}", robots(&state))
    );
    assert_eq!(
        format!("{:?}", loaded.rollouts().collect::<Vec<_>>()),
        format!("{:?}", state.rollouts().collect::<Vec<_>>())
    );
    assert_eq!(
        loaded.groups().collect::<Vec<_>>(),
        state.groups().collect::<Vec<_>>()
    );
    assert_eq!(
        loaded.images().collect::<Vec<_>>(),
        state.images().collect::<Vec<_>>()
    );
    assert_eq!(
        loaded.channels().collect::<Vec<_>>(),
        state.channels().collect::<Vec<_>>()
    );
    let ledger = |state: &State| {
        let versions = state.ledger_versions(ChannelKey(1));
        versions.cloned().collect::<Vec<_>>()
    };
    assert_eq!(ledger(&loaded).len(), 3);
    assert_eq!(ledger(&loaded), ledger(&state));
    assert_eq!(
        loaded.releases().collect::<Vec<_>>(),
        state.releases().collect::<Vec<_>>()
    );
    assert!(
        loaded
            .releases()
            .last()
            .is_some_and(|release| !release.pool.is_empty())
    );
    assert_eq!(
        loaded.pairing_tokens().collect::<Vec<_>>(),
        state.pairing_tokens().collect::<Vec<_>>()
    );
    assert_eq!(loaded.next_timer(), state.next_timer());
}

/// What was written before there were sources and ledgers means images of ours.
#[test]
fn an_old_channel_and_an_old_image_have_nothing_of_a_ledger() {
    // Field 1 `name`, field 2 `created`.
    let channel = [&[10, 1][..], b"c", &[16, 5]].concat();
    let channel = channel::decode(RowKey::from(1_u32), &channel).unwrap();
    assert_eq!(channel.source, Source::Console);
    assert_eq!(channel::encode(&channel), [10, 1, b'c', 16, 5]);
    // Field 1 `reference`, field 8 `sha256`.
    let image = [&[10, 3][..], b"o@1", &[66, 32], &[3; 32]].concat();
    let image = inventory::decode_image(RowKey::from(1_u32), &image).unwrap();
    assert_eq!(image.ledger, None);
}
