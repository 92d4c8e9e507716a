//! Who may ask for what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Every route with the least role that may use it; none for the two that watch the process.
const ROUTES: [(&str, &str, Option<&str>); 61] = [
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", Some("viewer")),
    ("GET", "/v1/status", Some("viewer")),
    ("GET", "/v1/robots", Some("viewer")),
    ("POST", "/v1/robots", Some("admin")),
    ("GET", "/v1/robots/r", Some("viewer")),
    ("PATCH", "/v1/robots/r", Some("operator")),
    ("DELETE", "/v1/robots/r", Some("admin")),
    ("GET", "/v1/robots/r/history", Some("viewer")),
    ("POST", "/v1/robots/r/accept", Some("operator")),
    ("POST", "/v1/robots/r/update", Some("admin")),
    (
        "POST",
        "/v1/robots/r/credentials/certificate",
        Some("admin"),
    ),
    ("POST", "/v1/robots/r/credentials/inhibit", Some("admin")),
    ("POST", "/v1/robots/r/credentials/allow", Some("admin")),
    ("POST", "/v1/robots/r/credentials/rotate", Some("admin")),
    ("GET", "/v1/pairing/tokens", Some("viewer")),
    ("POST", "/v1/pairing/tokens", Some("admin")),
    ("DELETE", "/v1/pairing/tokens/t", Some("admin")),
    ("GET", "/v1/ca", Some("viewer")),
    ("POST", "/v1/ca/reload", Some("admin")),
    ("GET", "/v1/groups", Some("viewer")),
    ("POST", "/v1/groups", Some("operator")),
    ("GET", "/v1/groups/g", Some("viewer")),
    ("PATCH", "/v1/groups/g", Some("operator")),
    ("DELETE", "/v1/groups/g", Some("operator")),
    ("GET", "/v1/groups/g/robots/r", Some("viewer")),
    ("GET", "/v1/channels", Some("viewer")),
    ("POST", "/v1/channels", Some("operator")),
    ("GET", "/v1/channels/c", Some("viewer")),
    ("PATCH", "/v1/channels/c", Some("operator")),
    ("DELETE", "/v1/channels/c", Some("operator")),
    ("GET", "/v1/channels/c/robots/r", Some("viewer")),
    ("GET", "/v1/channels/c/source", Some("viewer")),
    ("PUT", "/v1/channels/c/source", Some("operator")),
    ("GET", "/v1/channels/c/ledger", Some("viewer")),
    ("POST", "/v1/channels/c/ledger/sync", Some("operator")),
    ("POST", "/v1/channels/c/ledger/import", Some("operator")),
    ("POST", "/v1/selectors/check", Some("viewer")),
    ("GET", "/v1/images", Some("viewer")),
    ("POST", "/v1/images", Some("operator")),
    ("GET", "/v1/images/i@1", Some("viewer")),
    ("POST", "/v1/images/i@1/file?hardware=h", Some("operator")),
    ("PUT", "/v1/images/i@1/file", Some("operator")),
    ("DELETE", "/v1/images/i@1", Some("operator")),
    ("GET", "/v1/rollouts", Some("viewer")),
    ("POST", "/v1/rollouts", Some("operator")),
    ("POST", "/v1/rollouts/preview", Some("viewer")),
    ("GET", "/v1/rollouts/1", Some("viewer")),
    ("PATCH", "/v1/rollouts/1", Some("operator")),
    ("DELETE", "/v1/rollouts/1", Some("operator")),
    ("POST", "/v1/rollouts/1/launch", Some("operator")),
    ("POST", "/v1/rollouts/1/pause", Some("operator")),
    ("POST", "/v1/rollouts/1/resume", Some("operator")),
    ("GET", "/v1/rollouts/1/stop", Some("viewer")),
    ("POST", "/v1/rollouts/1/stop", Some("operator")),
    ("POST", "/v1/rollouts/1/cancel", Some("operator")),
    ("POST", "/v1/rollouts/1/approve", Some("operator")),
    ("GET", "/v1/rollouts/1/robots", Some("viewer")),
    ("GET", "/v1/rollouts/1/robots/r/why", Some("viewer")),
    ("GET", "/v1/rollouts/1/history", Some("viewer")),
];

#[test]
fn every_route_asks_for_a_token_of_the_role_that_it_needs() {
    let served = Served::new();
    for (method, path, needed) in ROUTES {
        let without = served.bare(method, path, &[], Vec::new()).status;
        if needed.is_some() {
            assert_eq!(without, 401, "{method} {path} without a token");
        } else {
            assert_eq!(without, 200, "{method} {path} without a token");
        }
        for role in ROLES {
            let bearer = format!("Bearer {}", served.token(role));
            let status = served
                .bare(method, path, &[("authorization", &bearer)], Vec::new())
                .status;
            let rank = |role| ROLES.iter().position(|other| *other == role).unwrap();
            let may = needed.is_none_or(|needed| rank(role) >= rank(needed));
            // Allowed requests fail for other reasons here: nothing exists, and no body is sent.
            assert_eq!(status == 403, !may, "{method} {path} as {role}: {status}");
            assert_ne!(status, 401, "{method} {path} as {role}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused_with_a_hint() {
    let served = Served::new();
    let admin = served.token("admin");
    let long = "x".repeat(8_000);
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic YTpi",
        admin.as_str(),
        &format!("Token {admin}"),
        &format!("Bearer {}", &admin[1..]),
        &format!("Bearer {admin}x"),
        &format!("Bearer {long}"),
    ] {
        let answer = served.bare(
            "GET",
            "/v1/robots",
            &[("authorization", authorization)],
            Vec::new(),
        );
        assert_eq!(
            answer.refusal(),
            (401, "unauthorized".to_owned()),
            "{authorization:?}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(
            answer.json()["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("admin.token")
        );
        assert!(!answer.text().contains(&admin));
    }
    let answer = served.bare(
        "GET",
        "/v1/robots",
        &[("authorization", &format!("bearer  {admin}"))],
        Vec::new(),
    );
    assert_eq!(answer.status, 200, "scheme and spaces do not matter");
}

#[test]
fn the_actor_in_the_history_is_the_tokens_name() {
    let served = Served::new();
    served.robot("r1", "hw");
    served.image("fw@1", "hw");
    let bearer = format!("Bearer {}", served.token("operator"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body =
        r#"{"name":"n","target":{"robots":["r1"]},"images":[{"hardware_id":"hw","image":"fw@1"}]}"#;
    let created = served
        .bare("POST", "/v1/rollouts", &headers, body.into())
        .ok();
    assert_eq!(created["created_by"], "operator");
    let history = served.get("/v1/rollouts/1/history").ok();
    assert_eq!(history["items"][0]["by"], "operator");
    assert_eq!(
        served.get("/v1/robots/r1/history").ok()["items"][0]["by"],
        "admin"
    );
}

#[test]
fn a_token_that_was_added_to_the_file_is_accepted_from_the_next_start_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let directory = Served::in_directory(directory, |_| ()).stop();
    let path = data.join("tokens.json");
    let mut file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // SHA-256 of "secret".
    let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let entry = serde_json::json!({ "name": "night-shift", "role": "viewer", "sha256": sha256 });
    file["tokens"].as_array_mut().unwrap().push(entry);
    std::fs::write(&path, file.to_string()).unwrap();
    let served = Served::in_directory(directory, |_| ());
    let headers = [("authorization", "Bearer secret")];
    assert_eq!(
        served
            .bare("GET", "/v1/robots", &headers, Vec::new())
            .status,
        200
    );
    assert_eq!(
        served
            .bare("DELETE", "/v1/robots/r", &headers, Vec::new())
            .status,
        403
    );
}
