//! A certificate that was answered is the robot's certificate, whatever happens to the process afterwards.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::ServerProcess;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

fn pair(server: &ServerProcess, path: &str, bearer: &str, data: Value) -> Value {
    let request = ureq::post(format!("{}/pairing/v1{path}", server.device_http))
        .header("authorization", format!("Bearer {bearer}"));
    let mut answer = request.send_json(json!({"data": data})).unwrap();
    answer.body_mut().read_json::<Value>().unwrap()["data"].clone()
}

fn csr() -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    request.unwrap().pem().unwrap()
}

#[test]
fn a_kill_after_201_keeps_secret_serial_and_ca() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path(), "");
    let token = server.post("/v1/pairing/tokens", &json!({"uses": 1}))["token"].clone();
    let body = json!({"hw_id": "r1"});
    let registered = pair(
        &server,
        "/fleet/agent/devices",
        token.as_str().unwrap(),
        body,
    );
    server.kill();
    server.restart();
    let secret = registered["credentials_secret"].as_str().unwrap();
    let path = "/fleet/devices/r1/protocols/astarte_mqtt_v1/credentials";
    let mut newest = Value::Null;
    for _ in 0..3 {
        let before = newest;
        newest = pair(&server, path, secret, json!({"csr": csr()}))["client_crt"].clone();
        server.kill();
        server.restart();
        let verify = |certificate: &Value| {
            let data = json!({"client_crt": certificate});
            pair(&server, &format!("{path}/verify"), secret, data)
        };
        assert_eq!(verify(&newest)["valid"], true);
        if !before.is_null() {
            assert_eq!(verify(&before)["cause"], "REVOKED");
        }
    }
    let tokens = server.get("/v1/pairing/tokens");
    assert_eq!(tokens["items"][0]["used"], 1, "{tokens}");
}
