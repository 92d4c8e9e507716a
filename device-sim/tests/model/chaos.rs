//! Whatever happens, in whatever order: no panic, no growth without bound, one operation at a time.

use std::sync::Arc;

use device_sim::model::{
    Artifact, Downlink, EcuConfig, FetchError, FetchId, Input, Message, Output, Protocol,
    PublishId, Robot, RobotConfig,
};
use device_sim::profile::Profile;
use proptest::prelude::*;
use rollcall_proto::edgehog;
use rollcall_proto::native::{Ack, OtaRequest, RequestKind};
use rollcall_proto::topic::Base;
use uuid::Uuid;

use crate::bench::{URL, update};

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few, and they are short-lived"
)]
enum Act {
    Wait(u64),
    Input(Input),
    /// Answers the newest fetch.
    Fetched(bool),
    /// Acknowledges the newest publish.
    Acknowledged,
}

fn request() -> impl Strategy<Value = Input> {
    let parts = (0..5_u128, 0..4_usize, any::<bool>(), any::<bool>());
    parts.prop_map(|(operation, ecu, cancel, edgehog)| {
        let ecu = ["main", "motor-1", "motor-2", "nothing"][ecu];
        let kind = if cancel {
            RequestKind::Cancel
        } else {
            RequestKind::Update
        };
        let operation = Uuid::from_u128(operation);
        Input::Received(if edgehog {
            Downlink::EdgehogRequest(edgehog::OtaRequest {
                kind,
                operation,
                url: URL.to_owned(),
            })
        } else {
            let request = OtaRequest {
                kind,
                ..update(ecu, operation)
            };
            Downlink::Request {
                ecu: ecu.to_owned(),
                request,
            }
        })
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..20_000_u64).prop_map(Act::Wait),
        4 => request().prop_map(Act::Input),
        2 => any::<bool>().prop_map(Act::Fetched),
        2 => Just(Act::Acknowledged),
        2 => any::<bool>()
            .prop_map(|session_present| Act::Input(Input::Connected { session_present })),
        1 => Just(Act::Input(Input::Disconnected)),
        1 => Just(Act::Input(Input::PowerLost)),
        1 => (0..8_u64, 0..40_u64)
            .prop_map(|(boot, counter)| Act::Input(Input::Received(Downlink::Ack(Ack { boot, counter })))),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(
        acts in proptest::collection::vec(act(), 0..200),
        seed: u64,
        edgehog: bool,
    ) {
        let mut profile = Profile::parse(include_str!("../../profiles/flaky.toml")).unwrap();
        profile.lies = Profile::parse(include_str!("../../profiles/liars.toml")).unwrap().lies;
        let protocol = if edgehog { Protocol::Edgehog } else { Protocol::Native };
        let ecus = (0..if edgehog { 1 } else { 3 }).map(EcuConfig::generated).collect();
        let config = RobotConfig {
            id: "r1".to_owned(), index: 3, seed, protocol, first_boot: 1, ecus,
        };
        let mut robot = Robot::new(config, Arc::new(profile));
        let (mut now, mut fetch, mut publish) = (0, FetchId(0), PublishId(0));
        for act in acts {
            match act {
                Act::Wait(ms) => now += ms,
                Act::Input(input) => robot.handle(now, input),
                Act::Acknowledged => robot.handle(now, Input::Acknowledged(publish)),
                Act::Fetched(true) => {
                    let artifact = Artifact { size: 1_000_000, sha256: [7; 32], label: None };
                    robot.handle(now, Input::Fetched { fetch, result: Ok(artifact) });
                }
                Act::Fetched(false) => {
                    let result = Err(FetchError::Status(500));
                    robot.handle(now, Input::Fetched { fetch, result });
                }
            }
            robot.handle_timeout(now);
            let mut outputs = 0;
            let mut linked = false;
            while let Some(output) = robot.poll_output() {
                outputs += 1;
                match output {
                    Output::Fetch { fetch: id, .. } => fetch = id,
                    Output::Connect { .. } => linked = true,
                    Output::Publish { id, message } => {
                        publish = id;
                        check(&message)?;
                    }
                    _ => {}
                }
            }
            prop_assert!(outputs <= 1_200, "{outputs} outputs at once");
            prop_assert!(!linked || !robot.is_connected() || robot.poll_timeout().is_some());
            prop_assert!(robot.poll_timeout().is_none_or(|at| at > now), "due timers are done");
            let open = robot.truth().operations().iter().filter(|o| o.outcome.is_none()).count();
            prop_assert_eq!(open, usize::from(robot.running().is_some()));
        }
    }
}

/// Whatever a robot says, liar or not, is well-formed: the server's codec takes it.
fn check(message: &Message) -> Result<(), TestCaseError> {
    use rollcall_proto::native;
    use rollcall_proto::topic::Uplink;
    let base = Base {
        realm: "fleet",
        robot: "r1",
    };
    let (topic, payload) = (message.topic(&base), message.payload());
    let (_, uplink) = Uplink::parse(&topic).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let sound = match uplink {
        Uplink::Manifest => native::Manifest::decode(&payload).is_ok(),
        Uplink::BaseImage { .. } => native::BaseImage::decode(&payload).is_ok(),
        Uplink::OtaEvent { .. } => native::OtaEvent::decode(&payload).is_ok(),
        Uplink::State => native::State::decode(&payload).is_ok(),
        Uplink::EdgehogOtaEvent => edgehog::OtaEvent::decode(&payload).is_ok(),
        _ => true,
    };
    prop_assert!(sound, "{topic} {message:?}");
    Ok(())
}
