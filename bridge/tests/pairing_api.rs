//! The pairing API over real sockets: the table of device-contract 2, and issue 3's "Bad input".
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod api_support;
mod pairing_support;

use api_support::Served;
use pairing_support::{DEVICE, Device, csr, pairing_token, refusal, register, with_mqtts};
use rcgen::KeyPair;
use rollcall::pki::RobotCertificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

fn read(pem: &str) -> RobotCertificate {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    RobotCertificate::read(&der).unwrap()
}

#[test]
fn a_device_registers_gets_its_certificate_verifies_it_and_finds_its_broker() {
    let served = Served::with(with_mqtts);
    let device = Device::registered(&served, DEVICE);
    assert_eq!(device.secret.len(), 44, "32 bytes in standard base64");
    assert_eq!(device.info(&served).json()["data"]["status"], "pending");

    let certificate = device.certificate(&served);
    assert_eq!(
        certificate.matches("BEGIN CERTIFICATE").count(),
        1,
        "{certificate}"
    );
    assert_eq!(read(&certificate).name, format!("fleet/{DEVICE}"));

    let verdict = device.verify(&served, &certificate);
    assert_eq!(verdict["valid"], true, "{verdict}");
    assert!(
        verdict["timestamp"].is_string() && verdict["until"].is_string(),
        "{verdict}"
    );

    let info = device.info(&served);
    assert_eq!(
        info.header("connection"),
        "close",
        "a fleet must not hold idle connections"
    );
    let info = info.ok()["data"].clone();
    assert_eq!(info["status"], "confirmed");
    assert!(info["version"].is_string());
    let url = info["protocols"]["astarte_mqtt_v1"]["broker_url"]
        .as_str()
        .unwrap();
    assert_eq!(url, format!("mqtts://127.0.0.1:{}", served.mqtts().port()));

    let shown = served.get(&format!("/v1/robots/{DEVICE}")).ok();
    assert_eq!(shown["by_part_number"], true);
    assert_eq!(shown["credentials"]["status"], "confirmed");
    let serial = shown["credentials"]["certificate"]["serial"]
        .as_str()
        .unwrap();
    assert_eq!(serial.len(), 32);
    let history = served.get(&format!("/v1/robots/{DEVICE}/history")).text();
    assert!(
        history.contains("registered itself with pairing token"),
        "{history}"
    );
    assert!(history.contains("issue certificate"), "{history}");
    assert!(!history.contains(&device.secret), "{history}");
}

#[test]
fn asking_again_is_always_allowed_and_revokes_what_was_before() {
    let served = Served::with(with_mqtts);
    let device = Device::registered(&served, DEVICE);
    let first = device.certificate(&served);
    let second = device.certificate(&served);
    assert_ne!(read(&first).serial, read(&second).serial);
    assert_eq!(device.verify(&served, &second)["valid"], true);
    let verdict = device.verify(&served, &first);
    assert_eq!(verdict["valid"], false);
    assert_eq!(verdict["cause"], "REVOKED");
}

#[test]
fn whatever_is_no_good_certificate_is_answered_with_valid_false_and_a_cause() {
    let served = Served::new();
    let other = Served::new();
    let (device, stranger) = (
        Device::registered(&served, DEVICE),
        Device::registered(&served, "another"),
    );
    let elsewhere = Device::registered(&other, DEVICE).certificate(&other);
    let own = device.certificate(&served);
    let ca = served.get("/v1/ca").ok()["certificate"].clone();
    for (certificate, cause) in [
        (elsewhere.as_str(), "INVALID_ISSUER"),
        (&stranger.certificate(&served), "NAME_NOT_PERMITTED"),
        (ca.as_str().unwrap(), "INVALID_KEY_USAGE"),
        (&format!("{own}{own}"), "INVALID"),
        (&own[..own.len() / 2], "INVALID"),
        ("", "INVALID"),
        ("\u{0}\u{1f600}", "INVALID"),
        (&"A".repeat(20_000), "INVALID"),
    ] {
        let verdict = device.verify(&served, certificate);
        assert_eq!(verdict["valid"], false, "{verdict}");
        assert_eq!(verdict["cause"], cause, "{verdict}");
    }
    assert_eq!(device.verify(&served, &own)["valid"], true);
}

#[test]
fn an_expired_certificate_is_not_valid() {
    let served = Served::with(|config| {
        config.tls.robot_certificate_lifetime = std::time::Duration::from_secs(1);
    });
    let device = Device::registered(&served, DEVICE);
    let certificate = device.certificate(&served);
    // It lasts a second; whoever asks long enough sees it end.
    loop {
        let verdict = device.verify(&served, &certificate);
        if verdict["valid"] == false {
            assert_eq!(verdict["cause"], "EXPIRED");
            return;
        }
    }
}

#[test]
fn without_a_good_pairing_token_nobody_registers() {
    let served = Served::new();
    let revoked = pairing_token(&served, json!({"name": "revoked"}));
    served
        .call("DELETE", "/v1/pairing/tokens/revoked", Value::Null)
        .ok();
    let once = pairing_token(&served, json!({"name": "once", "uses": 1}));
    assert_eq!(register(&served, &once, "first").status, 201);
    let short = pairing_token(&served, json!({"name": "short", "expires_in_ms": 1}));
    while served.get("/v1/pairing/tokens").ok()["items"][1]["good"] == true {}
    let admin = served.token("admin");
    for token in [
        "",
        "x",
        "eyJhbGciOiJIUzI1NiJ9.eyJhX3BhIjpbXX0.AAAA",
        &once[1..],
        &revoked,
        &once,
        &short,
        &admin,
    ] {
        assert_eq!(
            refusal(&register(&served, token, "robot")).0,
            401,
            "{token}"
        );
    }
    let body = json!({"data": {"hw_id": "robot"}});
    let none = served.pair("POST", "/fleet/agent/devices", None, &body);
    assert_eq!(refusal(&none).0, 401);
    assert_eq!(none.header("www-authenticate"), "Bearer");
    assert_eq!(
        served.get("/v1/robots/robot").status,
        404,
        "nothing was registered"
    );
    let listed = served.get("/v1/pairing/tokens").ok();
    assert_eq!(listed["items"][0]["used"], 1, "{listed}");
    assert_eq!(listed["items"][0]["good"], false, "{listed}");
    assert!(!listed.to_string().contains(&once), "tokens are shown once");
}

#[test]
fn a_robot_registers_until_it_has_used_its_secret() {
    let served = Served::new();
    let token = pairing_token(&served, json!({}));
    served.robot("r1", "hw");
    let first = register(&served, &token, "r1").ok()["data"]["credentials_secret"].clone();
    let again = register(&served, &token, "r1").ok()["data"]["credentials_secret"].clone();
    assert_ne!(first, again);
    let old = Device::with_secret("r1", first.as_str().unwrap());
    assert_eq!(refusal(&old.info(&served)).0, 403, "replaced");
    let device = Device::with_secret("r1", again.as_str().unwrap());
    device.certificate(&served);
    let (status, why) = refusal(&register(&served, &token, "r1"));
    assert_eq!(status, 422);
    assert!(why.contains("rotate"), "{why}");
    // A stolen robot does not let itself in again.
    let rotate = "/v1/robots/r1/credentials/rotate";
    served.post(rotate, Value::Null).ok();
    let (status, why) = refusal(&register(&served, &token, "r1"));
    assert_eq!(status, 422);
    assert!(why.contains("--allow-pairing"), "{why}");
    // An operator gives the way free, as after a reinstallation.
    served.post(rotate, json!({"allow_pairing": true})).ok();
    assert_eq!(register(&served, &token, "r1").status, 201);
    let strange = served.post(rotate, json!({"allow": true}));
    assert_eq!(strange.status, 422);
}

#[test]
fn a_registration_whose_answer_was_lost_is_made_again_though_the_token_is_used_up() {
    let served = Served::new();
    let token = pairing_token(&served, json!({"uses": 1}));
    assert_eq!(register(&served, &token, "r1").status, 201);
    let again = register(&served, &token, "r1").ok();
    assert_eq!(refusal(&register(&served, &token, "r2")).0, 401);
    let listed = served.get("/v1/pairing/tokens").ok();
    assert_eq!(listed["items"][0]["used"], 1, "{listed}");
    let secret = again["data"]["credentials_secret"].as_str().unwrap();
    Device::with_secret("r1", secret).certificate(&served);
    assert_eq!(refusal(&register(&served, &token, "r1")).0, 401);
}

#[test]
fn a_wrong_secret_and_an_unknown_robot_get_nothing() {
    let served = Served::with(with_mqtts);
    let device = Device::registered(&served, DEVICE);
    let wrong = Device::with_secret(DEVICE, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let unknown = Device::with_secret("nobody", &device.secret);
    for (who, status) in [(&wrong, 403), (&unknown, 404)] {
        let request = csr(&who.key, &who.name());
        assert_eq!(refusal(&who.ask_certificate(&served, &request)).0, status);
        assert_eq!(refusal(&who.info(&served)).0, status);
        let rest = "/protocols/astarte_mqtt_v1/credentials/verify";
        let verify = who.call(&served, "POST", rest, json!({"client_crt": ""}));
        assert_eq!(refusal(&verify).0, status);
    }
    let path = format!("/fleet/devices/{DEVICE}");
    assert_eq!(
        refusal(&served.pair("GET", &path, None, &Value::Null)).0,
        401
    );
    let refusals = served.get("/v1/status").ok()["writer"]["refusals"].clone();
    assert_eq!(refusals["pairing_wrong_secret"], 3, "{refusals}");
    assert_eq!(refusals["pairing_unknown_robot"], 3, "{refusals}");
    assert_eq!(refusals["pairing_without_secret"], 1, "{refusals}");
}

#[test]
fn a_request_that_cannot_be_signed_is_refused_and_changes_nothing() {
    let served = Served::new();
    let device = Device::registered(&served, DEVICE);
    let certificate = device.certificate(&served);
    let other = csr(&device.key, "fleet/another");
    let weak = include_str!("../src/pki/requests/rsa1024.pem");
    for (request, says) in [
        (other.as_str(), "another"),
        (weak, "P-256"),
        ("garbage", "PKCS#10"),
        ("", "PKCS#10"),
    ] {
        let (status, why) = refusal(&device.ask_certificate(&served, request));
        assert_eq!(status, 422, "{why}");
        assert!(why.contains(says) || why.contains("names"), "{why}");
    }
    let verdict = device.verify(&served, &certificate);
    assert_eq!(verdict["valid"], true, "the one it has stays good");
    // A name in the request is not needed; the server gives it.
    let nameless = csr(&KeyPair::generate().unwrap(), "");
    let answer = device.ask_certificate(&served, &nameless);
    let issued = answer.ok()["data"]["client_crt"].clone();
    assert_eq!(read(issued.as_str().unwrap()).name, device.name());
}

#[test]
fn an_inhibited_robot_gets_no_certificate_until_it_is_allowed_again() {
    let served = Served::with(with_mqtts);
    let device = Device::registered(&served, DEVICE);
    let certificate = device.certificate(&served);
    let path = |verb| format!("/v1/robots/{DEVICE}/credentials/{verb}");
    let inhibited = served.post(&path("inhibit"), Value::Null).ok();
    assert_eq!(inhibited["status"], "inhibited");
    assert_eq!(device.info(&served).ok()["data"]["status"], "inhibited");
    assert_eq!(device.verify(&served, &certificate)["cause"], "INHIBITED");
    let request = csr(&device.key, &device.name());
    let (status, why) = refusal(&device.ask_certificate(&served, &request));
    assert_eq!(status, 403);
    assert!(why.contains("allow"), "{why}");
    served.post(&path("allow"), Value::Null).ok();
    assert_eq!(device.verify(&served, &certificate)["valid"], true);
    let secret = served.post(&path("rotate"), Value::Null).ok();
    assert_eq!(
        refusal(&device.info(&served)).0,
        403,
        "the old secret is void"
    );
    let device = Device::with_secret(DEVICE, secret["credentials_secret"].as_str().unwrap());
    assert_eq!(device.verify(&served, &certificate)["cause"], "REVOKED");
}

#[test]
fn hostile_paths_are_not_found_and_names_are_checked() {
    let served = Served::new();
    let token = pairing_token(&served, json!({}));
    let device = Device::registered(&served, DEVICE);
    for id in [
        "",
        "a/b",
        "../x",
        "a b",
        "+",
        "#",
        "\u{e4}",
        &"x".repeat(65),
    ] {
        assert_eq!(refusal(&register(&served, &token, id)).0, 422, "{id:?}");
    }
    for path in [
        "/other/devices/2TBn-jNESuuHamE2Zo1anA",
        "/fleet/devices/2TBn-jNESuuHamE2Zo1anA%00",
        "/fleet/devices/..%2F2TBn-jNESuuHamE2Zo1anA",
        "/fleet/devices/%2e%2e",
        "/fleet%2Fdevices/2TBn-jNESuuHamE2Zo1anA",
        "/fleet/devices/%ff",
        "/fleet/devices/",
        "/fleet/nothing",
        "/fleet/devices/2TBn-jNESuuHamE2Zo1anA/protocols/other/credentials",
        "",
    ] {
        let answer = served.pair("GET", path, Some(&device.secret), &Value::Null);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let body = json!({"data": {"hw_id": "robot"}});
    let realm = served.pair("POST", "/other/agent/devices", Some(&token), &body);
    assert_eq!(refusal(&realm).0, 404);
    let method = served.pair(
        "DELETE",
        &format!("/fleet/devices/{DEVICE}"),
        Some(&device.secret),
        &Value::Null,
    );
    assert_eq!(refusal(&method).0, 405);
}

#[test]
fn bodies_are_bounded_and_checked() {
    let served = Served::new();
    let token = pairing_token(&served, json!({}));
    let device = Device::registered(&served, DEVICE);
    let huge = "x".repeat(40_000);
    assert_eq!(refusal(&register(&served, &token, &huge)).0, 413);
    assert_eq!(refusal(&device.ask_certificate(&served, &huge)).0, 413);
    let path = "/pairing/v1/fleet/agent/devices";
    let bearer = format!("Bearer {token}");
    let send = |content: &str, body: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", content),
        ];
        served.device_request("POST", path, &headers, body.as_bytes().to_vec())
    };
    let good = json!({"data": {"hw_id": "robot"}}).to_string();
    for (content, body, status) in [
        ("text/plain", good.as_str(), 415),
        ("application/json", "", 400),
        ("application/json", "{", 400),
        ("application/json", "[]", 422),
        ("application/json", "{}", 422),
        ("application/json", "{\"data\":{}}", 422),
        ("application/json", "{\"data\":{\"hw_id\":1}}", 422),
        ("application/json", &"[".repeat(20_000), 422),
    ] {
        assert_eq!(
            refusal(&send(content, body)).0,
            status,
            "{content} {body:.40}"
        );
    }
    // What Astarte also takes is taken, and ignored.
    let more = json!({"data": {"hw_id": "robot", "initial_introspection": {"a": {"major": 1, "minor": 0}}}});
    assert_eq!(send("application/json", &more.to_string()).status, 201);
}

#[test]
fn a_body_without_an_end_is_cut_off() {
    let served = Served::new();
    let token = pairing_token(&served, json!({}));
    let head = format!(
        "POST /pairing/v1/fleet/agent/devices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    for _ in 0..64 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.extend_from_slice(&[b' '; 1024]);
        bytes.extend_from_slice(b"\r\n");
    }
    let answer = served.raw(served.device, &bytes);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn operators_issue_certificates_for_robots_that_do_not_pair() {
    let served = Served::new();
    served.robot("r1", "hw");
    let key = KeyPair::generate().unwrap();
    let path = "/v1/robots/r1/credentials/certificate";
    let request = json!({"csr": csr(&key, "fleet/r1")});
    let signed = served.post(path, request.clone());
    assert_eq!(signed.status, 201);
    let signed = signed.json();
    assert_eq!(
        read(signed["client_crt"].as_str().unwrap()).name,
        "fleet/r1"
    );
    assert_eq!(signed["ca_crt"], served.get("/v1/ca").ok()["certificate"]);
    let wrong = served.post(path, json!({"csr": csr(&key, "fleet/r2")}));
    assert_eq!(wrong.refusal(), (422, "csr_other_name".to_owned()));
    let unknown = served.post("/v1/robots/r9/credentials/rotate", Value::Null);
    assert_eq!(unknown.refusal(), (404, "unknown_robot".to_owned()));
    served
        .post("/v1/robots/r1/credentials/inhibit", Value::Null)
        .ok();
    let inhibited = served.post(path, request);
    assert_eq!(
        inhibited.refusal(),
        (409, "credentials_inhibited".to_owned())
    );
}
