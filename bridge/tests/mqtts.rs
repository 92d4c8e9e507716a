//! MQTT with TLS (device-contract 0.9, 1.1): who gets in with which certificate, and who is put out.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod api_support;
mod pairing_support;

use api_support::Served;
use pairing_support::tls::{Mqtt, client_config, handshake, http, shown};
use pairing_support::{Device, another_certificate, ca, certified, with_mqtts};
use rcgen::{CertificateParams, KeyPair};
use rollcall::pki::CertificateFiles;
use rollcall_broker::ReasonCode;
use rollcall_proto::native::{EcuDescription, Manifest, PROTOCOL_VERSION};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn refusals(served: &Served) -> Value {
    served.get("/v1/status").ok()["writer"]["refusals"].clone()
}

fn manifest() -> Vec<u8> {
    Manifest {
        protocol: PROTOCOL_VERSION,
        boot: 1,
        wants_ack: false,
        ecus: vec![EcuDescription {
            name: "main".to_owned(),
            hardware_id: "hw".to_owned(),
            primary: true,
        }],
    }
    .encode()
}

fn credentials(served: &Served, robot: &str, verb: &str) -> Value {
    let path = format!("/v1/robots/{robot}/credentials/{verb}");
    served.post(&path, Value::Null).ok()
}

#[test]
fn a_certificate_lets_its_robot_in_without_user_name_and_only_on_its_own_topics() {
    let served = Served::with(with_mqtts);
    let (r1, _) = certified(&served, "r1");
    let (_r2, _) = certified(&served, "r2");
    let mut robot = Mqtt::online(served.mqtts(), &r1, "fleet/r1");
    assert_eq!(
        robot.publish("fleet/r1/rollcall.v1.Manifest", &manifest()),
        ReasonCode::Success
    );
    let shown = served.get("/v1/robots/r1").ok();
    assert_eq!(shown["online"], true);
    assert_eq!(shown["protocol"], "native");
    // Another robot's topics, though both certificates are good.
    let code = robot.publish("fleet/r2/rollcall.v1.Manifest", &manifest());
    assert_eq!(code, ReasonCode::NotAuthorized);
}

#[test]
fn a_paired_device_connects_with_what_pairing_gave_it() {
    let served = Served::with(with_mqtts);
    let device = Device::registered(&served, pairing_support::DEVICE);
    let certificate = device.certificate(&served);
    let config = client_config(&ca(&served), Some((&certificate, &device.key)));
    let info = device.info(&served).ok();
    let url = info["data"]["protocols"]["astarte_mqtt_v1"]["broker_url"].clone();
    let broker = url
        .as_str()
        .unwrap()
        .strip_prefix("mqtts://")
        .unwrap()
        .parse()
        .unwrap();
    Mqtt::online(broker, &config, &device.name());
}

#[test]
fn an_empty_client_id_takes_the_name_of_the_certificate() {
    let served = Served::with(with_mqtts);
    let (config, _) = certified(&served, "r1");
    let (_robot, welcome) = Mqtt::connect(served.mqtts(), &config, "", None).unwrap();
    assert_eq!(welcome.code, ReasonCode::Success, "{welcome:?}");
    assert_eq!(welcome.assigned, "fleet/r1");
}

#[test]
fn another_robots_certificate_is_refused() {
    let served = Served::with(with_mqtts);
    let (r1, _) = certified(&served, "r1");
    served.robot("r2", "hw");
    let why = Mqtt::refused(served.mqtts(), &r1, "fleet/r2");
    assert!(why.contains("fleet/r1"), "{why}");
    assert_eq!(refusals(&served)["certificate_of_another_robot"], 1);
}

#[test]
fn a_revoked_certificate_is_refused_and_a_live_connection_goes_on() {
    let served = Served::with(with_mqtts);
    let (old, _) = certified(&served, "r1");
    let mut live = Mqtt::online(served.mqtts(), &old, "fleet/r1");
    let (new, _) = another_certificate(&served, "r1");
    assert!(live.is_alive(), "until it ends by itself");
    let why = Mqtt::refused(served.mqtts(), &old, "fleet/r1");
    assert!(why.contains("revoked") && why.contains("pairing"), "{why}");
    assert_eq!(refusals(&served)["certificate_revoked"], 1);
    Mqtt::online(served.mqtts(), &new, "fleet/r1");
}

#[test]
fn a_certificate_of_another_ca_is_refused_in_the_handshake() {
    let served = Served::with(with_mqtts);
    let other = Served::with(with_mqtts);
    served.robot("r1", "hw");
    let device = Device::registered(&other, "r1");
    let certificate = device.certificate(&other);
    let forged = client_config(&ca(&served), Some((&certificate, &device.key)));
    assert!(Mqtt::connect(served.mqtts(), &forged, "fleet/r1", None).is_err());
    // And a robot that does not trust the server's CA does not go on.
    let distrustful = client_config(&ca(&other), None);
    assert!(handshake(served.mqtts(), "localhost", &distrustful).is_err());
}

#[test]
fn an_expired_certificate_is_refused() {
    let served = Served::with(|config| {
        with_mqtts(config);
        config.tls.robot_certificate_lifetime = Duration::from_secs(1);
    });
    let (config, _) = certified(&served, "r1");
    // It lasts a second; whoever tries long enough is refused, at first by TLS or by its notAfter.
    loop {
        match Mqtt::connect(served.mqtts(), &config, "fleet/r1", None) {
            Ok((_, welcome)) if welcome.code == ReasonCode::Success => {}
            Ok((_, welcome)) => break assert!(welcome.reason.contains("expired"), "{welcome:?}"),
            Err(_) => break,
        }
    }
}

#[test]
fn a_removed_robots_certificate_is_refused() {
    let served = Served::with(with_mqtts);
    let (config, _) = certified(&served, "r1");
    served.call("DELETE", "/v1/robots/r1", Value::Null).ok();
    let why = Mqtt::refused(served.mqtts(), &config, "fleet/r1");
    assert!(why.contains("not registered"), "{why}");
    // Its id may have a successor, which is another robot.
    served.robot("r1", "hw");
    let why = Mqtt::refused(served.mqtts(), &config, "fleet/r1");
    assert!(why.contains("revoked"), "{why}");
}

#[test]
fn user_name_and_secret_are_good_without_a_certificate() {
    let served = Served::with(with_mqtts);
    let registered = served.robot("r1", "hw");
    let secret = registered["credentials_secret"].as_str().unwrap();
    let config = client_config(&ca(&served), None);
    let connect = |secret| {
        let login = Some(("fleet/r1", secret));
        Mqtt::connect(served.mqtts(), &config, "fleet/r1", login)
            .unwrap()
            .1
    };
    assert_eq!(connect(secret).code, ReasonCode::Success);
    assert_eq!(connect("wrong").code, ReasonCode::BadUserNameOrPassword);
    assert_eq!(refusals(&served)["wrong_secret"], 1);
}

#[test]
fn an_inhibited_robot_is_put_out_now_and_stays_out_until_it_is_allowed() {
    let served = Served::with(with_mqtts);
    let (config, _) = certified(&served, "r1");
    let mut robot = Mqtt::online(served.mqtts(), &config, "fleet/r1");
    credentials(&served, "r1", "inhibit");
    let (code, why) = robot.disconnected();
    assert_eq!(code, ReasonCode::AdministrativeAction);
    assert!(why.contains("inhibited"), "{why}");
    let why = Mqtt::refused(served.mqtts(), &config, "fleet/r1");
    assert!(why.contains("credentials allow"), "{why}");
    assert_eq!(refusals(&served)["credentials_inhibited"], 1);
    credentials(&served, "r1", "allow");
    Mqtt::online(served.mqtts(), &config, "fleet/r1");
}

#[test]
fn rotation_puts_the_robot_out_and_voids_certificate_and_secret() {
    let served = Served::with(with_mqtts);
    let (config, _) = certified(&served, "r1");
    let mut robot = Mqtt::online(served.mqtts(), &config, "fleet/r1");
    let secret = credentials(&served, "r1", "rotate");
    assert_eq!(robot.disconnected().0, ReasonCode::AdministrativeAction);
    Mqtt::refused(served.mqtts(), &config, "fleet/r1");
    let plain = client_config(&ca(&served), None);
    let login = Some(("fleet/r1", secret["credentials_secret"].as_str().unwrap()));
    let (_, welcome) = Mqtt::connect(served.mqtts(), &plain, "fleet/r1", login).unwrap();
    assert_eq!(welcome.code, ReasonCode::Success);
}

#[test]
fn no_connection_slips_in_between_rotation_and_its_commit() {
    let served = Served::with(with_mqtts);
    let robots: Vec<_> = (0..32)
        .map(|number| {
            let id = format!("r{number}");
            let (config, _) = certified(&served, &id);
            (id, config)
        })
        .collect();
    let to = served.mqtts();
    std::thread::scope(|scope| {
        let mut connecting = Vec::new();
        for (id, config) in &robots {
            connecting.push(scope.spawn(move || {
                // The last connection that was let in before the first refusal.
                let mut last = None;
                loop {
                    let name = format!("fleet/{id}");
                    match Mqtt::connect(to, config, &name, None) {
                        Ok((robot, welcome)) if welcome.code == ReasonCode::Success => {
                            last = Some(robot)
                        }
                        Ok(_) => return last,
                        // Put out before CONNACK.
                        Err(_) => {}
                    }
                }
            }));
        }
        for (id, _) in &robots {
            credentials(&served, id, "rotate");
        }
        for robot in connecting {
            let Some(mut robot) = robot.join().unwrap() else {
                continue;
            };
            let given_up = Instant::now() + Duration::from_secs(20);
            while robot.is_alive() {
                assert!(
                    Instant::now() < given_up,
                    "let in under a secret that is void"
                );
            }
        }
    });
}

#[test]
fn new_handshakes_use_a_renewed_certificate_and_connections_go_on() {
    let served = Served::with(|config| {
        with_mqtts(config);
        config.device_http.tls = true;
    });
    let (config, _) = certified(&served, "r1");
    let mut robot = Mqtt::online(served.mqtts(), &config, "fleet/r1");
    let before = shown(&robot.tls);
    let plain = client_config(&ca(&served), None);
    let https = || shown(&handshake(served.device, "127.0.0.1", &plain).unwrap());
    assert_eq!(https(), before);
    let unchanged = served.post("/v1/ca/reload", Value::Null).ok();
    assert_eq!(unchanged["changed"], false);
    std::fs::remove_file(served.data().join("tls/server.pem")).unwrap();
    let reloaded = served.post("/v1/ca/reload", Value::Null).ok();
    assert_eq!(reloaded["changed"], true);
    let mqtts = handshake(served.mqtts(), "localhost", &plain).unwrap();
    assert_ne!(shown(&mqtts), before);
    assert_eq!(https(), shown(&mqtts), "both listeners have it");
    assert!(robot.is_alive());

    std::fs::write(served.data().join("tls/ca.pem"), "garbage").unwrap();
    let failed = served.post("/v1/ca/reload", Value::Null);
    assert_eq!(failed.refusal(), (409, "certificates_unusable".to_owned()));
    assert_eq!(https(), shown(&mqtts), "what was in force stays");
}

#[test]
fn a_certificate_of_ones_own_is_warned_about_and_replaced_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        directory.path().join("own.pem"),
        directory.path().join("own.key"),
    );
    let pair = KeyPair::generate().unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let write = |days| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        let signed = params.self_signed(&pair).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        signed
    };
    let first = write(3);
    let files = CertificateFiles {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let served = Served::with(|config| {
        with_mqtts(config);
        config.tls.server = Some(files);
    });
    let warnings = served.get("/v1/ca").ok()["warnings"].to_string();
    assert!(
        warnings.contains("the server's certificate ends on"),
        "{warnings}"
    );
    let trust = |certificate: &rcgen::Certificate| client_config(&certificate.pem(), None);
    handshake(served.mqtts(), "localhost", &trust(&first)).unwrap();

    let second = write(300);
    let reloaded = served.post("/v1/ca/reload", Value::Null).ok();
    assert_eq!(reloaded["changed"], true);
    assert_eq!(reloaded["ca"]["warnings"], serde_json::json!([]));
    let tls = handshake(served.mqtts(), "localhost", &trust(&second)).unwrap();
    assert_eq!(shown(&tls), second.der().to_vec());
    assert!(
        !served.data().join("tls/server.pem").exists(),
        "none is made beside it"
    );
}

#[test]
fn pairing_and_artifacts_are_served_with_tls() {
    let served = Served::with(|config| config.device_http.tls = true);
    let config = client_config(&ca(&served), None);
    let request = "GET /pairing/v1/fleet/devices/nobody HTTP/1.1\r\nhost: localhost\r\n\
                   authorization: Bearer x\r\n\r\n";
    let tls = handshake(served.device, "localhost", &config).unwrap();
    let answer = http(tls, request);
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("{\"errors\":{\"detail\":"), "{answer}");
    // Whoever speaks plainly there is not understood.
    let plain = served.raw(served.device, request.as_bytes());
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    let urls = served.get("/v1/status").ok()["urls"].clone();
    let pairing = urls["pairing"].as_str().unwrap();
    assert!(
        pairing.starts_with("https://") && pairing.ends_with("/pairing"),
        "{urls}"
    );
}

#[test]
fn stalled_handshakes_delay_nobody() {
    let served = Served::with(|config| {
        with_mqtts(config);
        config.device_http.tls = true;
    });
    let (config, _) = certified(&served, "r1");
    let mut stalled = Vec::new();
    for to in [served.mqtts(), served.device] {
        for number in 0..100 {
            let mut stream = TcpStream::connect(to).unwrap();
            // Nothing at all, or the first bytes of a ClientHello.
            if number % 2 == 0 {
                stream
                    .write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
                    .unwrap();
            }
            stalled.push(stream);
        }
    }
    Mqtt::online(served.mqtts(), &config, "fleet/r1");
    let tls = handshake(served.device, "localhost", &config).unwrap();
    let request = "GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(http(tls, request).starts_with("HTTP/1.1 404"));
}

#[test]
fn metrics_and_the_ca_say_when_certificates_end() {
    let served = Served::new();
    let shown = served.get("/v1/ca").ok();
    assert_eq!(shown["warnings"], serde_json::json!([]));
    assert!(
        shown["server"]["names"].to_string().contains("localhost"),
        "{shown}"
    );
    let metrics = served.get("/metrics").text();
    let ends = shown["server"]["not_after_ms"].as_u64().unwrap() / 1_000;
    let line = format!("rollcall_certificate_not_after_seconds{{certificate=\"server\"}} {ends}");
    assert!(metrics.contains(&line), "{metrics}");
}
