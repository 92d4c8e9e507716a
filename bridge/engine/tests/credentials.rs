//! Credentials: who gets in, who is shut out, and what a pairing token is good for (device-contract 2).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use rollcall_engine::{
    Actor, Command, CredentialsStatus, EcuSpec, Effect, Input, LinkEvent, PairingTokenSpec,
    Refusal, Reply, Robot, RobotId, RobotSpec, Row, State, Timestamp, TokenKey, TokenName,
};

const FIRST: [u8; 32] = [1; 32];
const SECOND: [u8; 32] = [2; 32];

/// A state and its time, which moves on with each input.
struct Fleet {
    state: State,
    now: u64,
}

impl Fleet {
    fn new() -> Self {
        let mut fleet = Self {
            state: State::default(),
            now: 1_000,
        };
        let ecus = vec![EcuSpec {
            name: "main".parse().unwrap(),
            hardware_id: "hw".parse().unwrap(),
            primary: true,
        }];
        let spec = RobotSpec {
            id: id("r1"),
            name: None,
            model: None,
            labels: Default::default(),
            tags: Default::default(),
            ecus,
            secret: FIRST,
        };
        fleet.ok(Command::AddRobot(spec));
        fleet
    }

    fn apply(&mut self, input: Input) -> rollcall_engine::Outcome {
        self.now += 1_000;
        self.state.apply(Timestamp(self.now), input)
    }

    fn command(&mut self, command: Command) -> rollcall_engine::Outcome {
        let by = Actor("me".to_owned());
        self.apply(Input::Command { by, command })
    }

    /// The rows that it touched, and its effects.
    fn ok(&mut self, command: Command) -> (Vec<Row>, Vec<Effect>) {
        let outcome = self.command(command);
        outcome.reply.unwrap();
        (outcome.touched, outcome.effects)
    }

    fn refused(&mut self, command: Command) -> &'static str {
        self.command(command).reply.unwrap_err().code()
    }

    fn link(&mut self, event: LinkEvent) -> Reply {
        let robot = self.robot().key;
        self.apply(Input::Link { robot, event }).reply.unwrap()
    }

    fn robot(&self) -> &Robot {
        let key = self.state.robot_key("r1").unwrap();
        self.state.robot(key).unwrap()
    }

    fn status(&self) -> CredentialsStatus {
        self.robot().credentials_status()
    }

    fn issue(&mut self, serial: u8, secret: Option<[u8; 32]>) -> Command {
        Command::IssueCertificate {
            robot: id("r1"),
            serial: [serial; 16],
            not_after: Timestamp(self.now + 100_000),
            secret,
        }
    }

    fn with_token(mut self, expires: Option<u64>, uses: Option<u32>) -> Self {
        self.ok(Command::AddPairingToken(token("line-1", expires, uses)));
        self
    }
}

fn id(text: &str) -> RobotId {
    text.parse().unwrap()
}

fn token(name: &str, expires: Option<u64>, uses: Option<u32>) -> PairingTokenSpec {
    PairingTokenSpec {
        name: name.parse().unwrap(),
        digest: [9; 32],
        expires: expires.map(Timestamp),
        uses,
    }
}

fn pair(robot: &str) -> Command {
    pair_by(1, robot)
}

fn pair_by(token: u32, robot: &str) -> Command {
    Command::PairRobot {
        token: TokenKey(token),
        token_name: TokenName::new("line-1").unwrap(),
        robot: id(robot),
        secret: SECOND,
    }
}

fn inhibit() -> Command {
    Command::InhibitCredentials { robot: id("r1") }
}

fn allow() -> Command {
    Command::AllowCredentials { robot: id("r1") }
}

fn rotate() -> Command {
    Command::RotateCredentials {
        robot: id("r1"),
        secret: SECOND,
        allow_pairing: false,
    }
}

fn rotate_for_pairing() -> Command {
    Command::RotateCredentials {
        robot: id("r1"),
        secret: SECOND,
        allow_pairing: true,
    }
}

#[test]
fn only_the_newest_certificate_is_kept() {
    let mut fleet = Fleet::new();
    assert_eq!(fleet.status(), CredentialsStatus::Pending);
    for serial in 1..=3 {
        let command = fleet.issue(serial, Some(FIRST));
        let (touched, effects) = fleet.ok(command);
        assert_eq!(touched, [Row::Robot(fleet.robot().key)]);
        assert_eq!(effects, [], "a live connection goes on until it ends");
    }
    let certificate = fleet.robot().credentials.certificate.unwrap();
    assert_eq!(certificate.serial, [3; 16]);
    assert_eq!(fleet.status(), CredentialsStatus::Confirmed);
}

#[test]
fn a_certificate_asked_for_with_a_secret_that_is_void_by_now_never_comes_into_force() {
    let mut fleet = Fleet::new();
    let asked = fleet.issue(1, Some(FIRST));
    fleet.ok(rotate());
    assert_eq!(fleet.refused(asked), "secret_replaced");
    assert_eq!(fleet.robot().credentials.certificate, None);
}

#[test]
fn an_inhibited_robot_is_disconnected_and_gets_nothing_until_it_is_allowed_again() {
    let mut fleet = Fleet::new();
    let issue = fleet.issue(1, Some(FIRST));
    fleet.ok(issue.clone());
    fleet.link(LinkEvent::Connected { connection: 7 });
    let (_, effects) = fleet.ok(inhibit());
    assert!(
        matches!(effects[..], [Effect::Disconnect { connection: 7, .. }]),
        "{:?}",
        effects
    );
    assert!(!fleet.robot().online());
    assert_eq!(fleet.status(), CredentialsStatus::Inhibited);
    assert_eq!(fleet.refused(issue.clone()), "credentials_inhibited");
    let gone = fleet.link(LinkEvent::Disconnected { connection: 7 });
    assert_eq!(gone, Reply::Stale);
    assert_eq!(fleet.ok(inhibit()).1, [], "twice is as good as once");

    fleet.ok(allow());
    assert_eq!(fleet.status(), CredentialsStatus::Confirmed);
    let certificate = fleet.robot().credentials.certificate.unwrap();
    assert_eq!(certificate.serial, [1; 16], "what it had is good again");
    fleet.ok(issue);
}

#[test]
fn rotation_voids_everything_and_disconnects() {
    let mut fleet = Fleet::new();
    let issue = fleet.issue(1, None);
    fleet.ok(issue);
    fleet.link(LinkEvent::Connected { connection: 7 });
    let (_, effects) = fleet.ok(rotate());
    assert!(matches!(
        effects[..],
        [Effect::Disconnect { connection: 7, .. }]
    ));
    let robot = fleet.robot();
    assert_eq!(
        (robot.secret, robot.credentials.certificate),
        (SECOND, None)
    );
    assert_eq!(robot.credentials.generation, 1);
    assert_eq!(
        fleet.status(),
        CredentialsStatus::Pending,
        "the new secret was never used"
    );
}

#[test]
fn a_pairing_token_registers_an_edgehog_device_and_counts() {
    let mut fleet = Fleet::new().with_token(None, Some(2));
    let (touched, _) = fleet.ok(pair("2TBn-jNESuuHamE2Zo1anA"));
    assert!(touched.contains(&Row::PairingToken(TokenKey(1))));
    let key = fleet.state.robot_key("2TBn-jNESuuHamE2Zo1anA").unwrap();
    let robot = fleet.state.robot(key).unwrap();
    assert!(robot.by_part_number, "its part number will say what it is");
    fleet.ok(pair("other"));
    assert_eq!(fleet.refused(pair("third")), "unknown_token");
    assert_eq!(fleet.state.pairing_token(TokenKey(1)).unwrap().used, 2);
}

#[test]
fn a_robot_whose_secret_was_never_used_may_register_once_more_and_then_not() {
    let mut fleet = Fleet::new().with_token(None, None);
    fleet.ok(pair("r1"));
    assert_eq!(fleet.robot().secret, SECOND);
    assert_eq!(fleet.robot().ecus.len(), 1, "its registration stays");
    let issue = fleet.issue(1, Some(SECOND));
    fleet.ok(issue);
    assert_eq!(fleet.refused(pair("r1")), "already_paired");
    // As after a reinstallation: an operator gives the way free.
    fleet.ok(rotate_for_pairing());
    fleet.ok(pair("r1"));
}

#[test]
fn a_robot_whose_secret_an_operator_replaced_does_not_let_itself_in_again() {
    let mut fleet = Fleet::new().with_token(None, Some(2));
    fleet.ok(pair("r1"));
    fleet.ok(rotate());
    assert_eq!(fleet.refused(pair("r1")), "registration_closed");
    fleet.ok(inhibit());
    fleet.ok(allow());
    assert_eq!(fleet.refused(pair("r1")), "registration_closed");
    assert_eq!(fleet.state.pairing_token(TokenKey(1)).unwrap().used, 1);
    fleet.ok(rotate_for_pairing());
    fleet.ok(pair("r1"));
    assert_eq!(fleet.state.pairing_token(TokenKey(1)).unwrap().used, 2);
}

#[test]
fn a_registration_whose_answer_was_lost_is_made_again_without_another_use() {
    let mut fleet = Fleet::new().with_token(Some(50_000), Some(1));
    fleet.ok(pair("a"));
    let (touched, _) = fleet.ok(pair("a"));
    assert!(!touched.contains(&Row::PairingToken(TokenKey(1))));
    assert_eq!(fleet.state.pairing_token(TokenKey(1)).unwrap().used, 1);
    assert_eq!(fleet.refused(pair("b")), "unknown_token");
    assert_eq!(fleet.refused(pair("r1")), "unknown_token", "not this one's");
    // Another token takes over, and pays.
    fleet.ok(Command::AddPairingToken(token("line-2", None, Some(1))));
    fleet.ok(pair_by(2, "a"));
    assert_eq!(fleet.state.pairing_token(TokenKey(2)).unwrap().used, 1);
    assert_eq!(fleet.refused(pair("a")), "unknown_token");
    fleet.ok(pair_by(2, "a"));
    let issue = Command::IssueCertificate {
        robot: id("a"),
        serial: [1; 16],
        not_after: Timestamp(100_000),
        secret: None,
    };
    fleet.ok(issue);
    assert_eq!(
        fleet.refused(pair_by(2, "a")),
        "unknown_token",
        "it has its secret, and the token is used up"
    );
}

#[test]
fn a_token_that_has_expired_or_was_revoked_does_not_serve_robots_that_registered_with_it() {
    let mut fleet = Fleet::new().with_token(Some(50_000), None);
    fleet.ok(pair("a"));
    fleet.now = 49_000;
    assert_eq!(fleet.refused(pair("a")), "unknown_token", "expired");
    let mut fleet = Fleet::new().with_token(None, None);
    fleet.ok(pair("a"));
    let name = TokenName::new("line-1").unwrap();
    fleet.ok(Command::RemovePairingToken { name });
    // The name is another's now; its number is not.
    let fleet = &mut fleet.with_token(None, None);
    assert_eq!(fleet.refused(pair("a")), "unknown_token", "revoked");
    assert_eq!(fleet.state.pairing_token(TokenKey(2)).unwrap().used, 0);
}

#[test]
fn a_robot_that_has_connected_with_its_secret_does_not_register() {
    let mut fleet = Fleet::new().with_token(None, None);
    fleet.link(LinkEvent::Connected { connection: 1 });
    assert_eq!(fleet.refused(pair("r1")), "already_paired");
    fleet.link(LinkEvent::Disconnected { connection: 1 });
    assert_eq!(fleet.refused(pair("r1")), "already_paired");
    // The end of its connection belongs to the old secret, not to the new one.
    fleet.link(LinkEvent::Connected { connection: 2 });
    fleet.ok(rotate_for_pairing());
    fleet.link(LinkEvent::Disconnected { connection: 2 });
    fleet.ok(pair("r1"));
}

#[test]
fn a_refused_registration_uses_no_token_up() {
    let mut fleet = Fleet::new().with_token(None, Some(1));
    fleet.ok(inhibit());
    assert_eq!(fleet.refused(pair("r1")), "credentials_inhibited");
    assert_eq!(fleet.state.pairing_token(TokenKey(1)).unwrap().used, 0);
}

#[test]
fn a_token_ends_at_its_time_and_when_it_is_revoked() {
    let mut fleet = Fleet::new().with_token(Some(5_000), None);
    fleet.ok(pair("a"));
    fleet.now = 4_999;
    assert_eq!(fleet.refused(pair("b")), "unknown_token");
    let mut fleet = Fleet::new().with_token(None, None);
    let name = TokenName::new("line-1").unwrap();
    fleet.ok(Command::RemovePairingToken { name: name.clone() });
    assert_eq!(fleet.refused(pair("a")), "unknown_token");
    let again = fleet.command(Command::RemovePairingToken { name }).reply;
    assert!(matches!(again, Err(Refusal::UnknownToken { .. })));
}

#[test]
fn tokens_have_names_of_their_own_and_are_few() {
    let mut fleet = Fleet::new().with_token(None, None);
    let twice = Command::AddPairingToken(token("line-1", None, None));
    assert_eq!(fleet.refused(twice), "token_exists");
    for number in 1..256 {
        let spec = token(&format!("t{number}"), None, None);
        fleet.ok(Command::AddPairingToken(spec));
    }
    let more = Command::AddPairingToken(token("more", None, None));
    assert_eq!(fleet.refused(more), "too_many");
}

#[test]
fn what_names_no_robot_is_refused() {
    let mut fleet = Fleet::new();
    let robot = id("nobody");
    for command in [
        Command::InhibitCredentials {
            robot: robot.clone(),
        },
        Command::AllowCredentials {
            robot: robot.clone(),
        },
        Command::RotateCredentials {
            robot: robot.clone(),
            secret: SECOND,
            allow_pairing: false,
        },
        Command::IssueCertificate {
            robot,
            serial: [1; 16],
            not_after: Timestamp(1),
            secret: None,
        },
    ] {
        assert_eq!(fleet.refused(command), "unknown_robot");
    }
}
