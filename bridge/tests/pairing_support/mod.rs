//! A robot that pairs, as Astarte's SDK does: its key, its requests, and what it remembers.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and each uses its own part of this"
)]

pub mod tls;

use crate::api_support::{Answer, Served};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rollcall::config::Config;
use serde_json::{Value, json};

/// Astarte's ids are 22 characters of base64url.
pub const DEVICE: &str = "2TBn-jNESuuHamE2Zo1anA";

pub struct Device {
    pub id: String,
    pub key: KeyPair,
    pub secret: String,
}

/// A request for a certificate.
pub fn csr(key: &KeyPair, name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// Serves MQTT with TLS too, on a free port.
pub fn with_mqtts(config: &mut Config) {
    config.mqtts.address = Some("127.0.0.1:0".parse().unwrap());
}

/// Makes a pairing token.
pub fn pairing_token(served: &Served, body: Value) -> String {
    let made = served.post("/v1/pairing/tokens", body).ok();
    made["token"].as_str().unwrap().to_owned()
}

pub fn register(served: &Served, token: &str, id: &str) -> Answer {
    let body = json!({"data": {"hw_id": id}});
    served.pair("POST", "/fleet/agent/devices", Some(token), &body)
}

/// The CA that robots of this server trust.
pub fn ca(served: &Served) -> String {
    let ca = served.get("/v1/ca").ok();
    ca["certificate"].as_str().unwrap().to_owned()
}

/// Registers robot `id` and has a certificate signed for it, which it trusts the server with.
pub fn certified(served: &Served, id: &str) -> (std::sync::Arc<rustls::ClientConfig>, String) {
    served.robot(id, "hw");
    another_certificate(served, id)
}

/// Has another certificate signed for robot `id`.
pub fn another_certificate(
    served: &Served,
    id: &str,
) -> (std::sync::Arc<rustls::ClientConfig>, String) {
    let key = KeyPair::generate().unwrap();
    let path = format!("/v1/robots/{id}/credentials/certificate");
    let signed = served.post(&path, json!({"csr": csr(&key, "")})).ok();
    let certificate = signed["client_crt"].as_str().unwrap();
    let config = tls::client_config(
        signed["ca_crt"].as_str().unwrap(),
        Some((certificate, &key)),
    );
    (config, certificate.to_owned())
}

impl Device {
    /// Registers itself with a new pairing token.
    pub fn registered(served: &Served, id: &str) -> Self {
        let token = pairing_token(served, json!({}));
        let answer = register(served, &token, id);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let secret = answer.json()["data"]["credentials_secret"].clone();
        Self::with_secret(id, secret.as_str().unwrap())
    }

    pub fn with_secret(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            key: KeyPair::generate().unwrap(),
            secret: secret.to_owned(),
        }
    }

    pub fn name(&self) -> String {
        format!("fleet/{}", self.id)
    }

    pub fn call(&self, served: &Served, method: &str, rest: &str, data: Value) -> Answer {
        let path = format!("/fleet/devices/{}{rest}", self.id);
        let body = if data.is_null() {
            Value::Null
        } else {
            json!({"data": data})
        };
        served.pair(method, &path, Some(&self.secret), &body)
    }

    pub fn ask_certificate(&self, served: &Served, csr: &str) -> Answer {
        let rest = "/protocols/astarte_mqtt_v1/credentials";
        self.call(served, "POST", rest, json!({"csr": csr}))
    }

    /// A new certificate for the device's key, PEM.
    pub fn certificate(&self, served: &Served) -> String {
        let answer = self.ask_certificate(served, &csr(&self.key, &self.name()));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["data"]["client_crt"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What the server says of a certificate.
    pub fn verify(&self, served: &Served, certificate: &str) -> Value {
        let rest = "/protocols/astarte_mqtt_v1/credentials/verify";
        let answer = self.call(served, "POST", rest, json!({"client_crt": certificate}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data"].clone()
    }

    pub fn info(&self, served: &Served) -> Answer {
        self.call(served, "GET", "", Value::Null)
    }
}

/// Checks Astarte's form of a refusal and returns its status and words.
pub fn refusal(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let detail = json["errors"]["detail"].as_str();
    let detail = detail.unwrap_or_else(|| panic!("{json}"));
    assert!(!detail.is_empty(), "{json}");
    (answer.status, detail.to_owned())
}
