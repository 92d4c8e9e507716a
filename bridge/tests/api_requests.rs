//! Requests that make no sense, or mean harm: each is refused in its own words, and changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod api_support;

use api_support::Served;
use serde_json::json;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn refusal(served: &Served, method: &str, path: &str, body: &str) -> (u16, String) {
    served.send(method, path, &JSON, body.into()).refusal()
}

#[test]
fn an_unknown_route_and_a_wrong_method_are_told_apart() {
    let served = Served::new();
    for path in [
        "/",
        "/v1",
        "/v2/robots",
        "/v1/robot",
        "/v1/robots/",
        "/v1/robots/a/b",
        "/robots",
        "/v1/../etc",
    ] {
        assert_eq!(
            served.get(path).refusal(),
            (404, "unknown_route".to_owned()),
            "{path}"
        );
    }
    for (method, path) in [
        ("PUT", "/v1/robots"),
        ("DELETE", "/v1/rollouts"),
        ("GET", "/v1/rollouts/1/launch"),
    ] {
        let answer = served.call(method, path, json!(null));
        assert_eq!(
            answer.refusal(),
            (405, "wrong_method".to_owned()),
            "{method} {path}"
        );
    }
}

#[test]
fn a_body_of_another_type_is_refused_before_it_is_read() {
    let served = Served::new();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let answer = served.send(
            "POST",
            "/v1/groups",
            &[("content-type", content_type)],
            b"{}".to_vec(),
        );
        assert_eq!(
            answer.refusal(),
            (415, "unsupported_media_type".to_owned()),
            "{content_type}"
        );
    }
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(
        served
            .send("POST", "/v1/groups", &charset, br#"{"name":"g"}"#.to_vec())
            .status,
        200
    );
}

#[test]
fn what_is_no_json_is_malformed_and_json_of_another_shape_is_invalid() {
    let served = Served::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cut = r#"{"name":"g""#;
    for body in [
        cut,
        "{",
        "nonsense",
        "{\"name\":\"\u{0}\"}",
        r#"{"name":"g"}{}"#,
    ] {
        assert_eq!(
            refusal(&served, "POST", "/v1/groups", body),
            (400, "malformed_json".to_owned()),
            "{body}"
        );
    }
    let deep = format!("{{\"robots\":{deep}}}");
    assert_eq!(
        refusal(&served, "POST", "/v1/robots", &deep),
        (422, "invalid_value".to_owned()),
        "and no stack overflow"
    );
    for body in [
        "[]",
        "1",
        "{}",
        r#"{"name":1}"#,
        r#"{"name":"g","robots":"r"}"#,
        r#"{"name":"g","robot":[]}"#,
    ] {
        assert_eq!(
            refusal(&served, "POST", "/v1/groups", body),
            (422, "invalid_value".to_owned()),
            "{body}"
        );
    }
    let latin1 = served.send("POST", "/v1/groups", &JSON, b"{\"name\":\"\xe4\"}".to_vec());
    assert_eq!(latin1.status, 400);
    assert_eq!(served.get("/v1/groups").ok()["items"], json!([]));
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let served = Served::new();
    let body = format!(
        "{{\"name\":\"g\",\"robots\":[{}\"r\"]}}",
        " ".repeat(1 << 20)
    );
    assert_eq!(
        refusal(&served, "POST", "/v1/groups", &body),
        (413, "body_too_large".to_owned())
    );
    let body = format!("{{\"robots\":[{}]}}", " ".repeat(16 << 20));
    assert_eq!(
        refusal(&served, "POST", "/v1/robots", &body),
        (413, "body_too_large".to_owned())
    );
}

#[test]
fn a_chunked_body_above_the_limit_is_refused_without_being_kept() {
    let served = Served::new();
    let head = format!(
        "POST /v1/groups HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        served.token("admin")
    );
    let mut request = head.into_bytes();
    for _ in 0..20 {
        request.extend_from_slice(b"20000\r\n");
        request.resize(request.len() + 0x20000, b' ');
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = served.raw(served.http(), &request);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn bytes_that_are_no_http_harm_nobody() {
    let served = Served::new();
    for to in [served.http(), served.device] {
        for bytes in [
            &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n\r\n"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n\r\n\0\0\r\n\r\n",
        ] {
            let answer = served.raw(to, bytes);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
                "{answer}"
            );
        }
        let mut endless = b"GET / HTTP/1.1\r\n".to_vec();
        for header in 0..20_000 {
            endless.extend_from_slice(format!("x-{header}: {}\r\n", "y".repeat(50)).as_bytes());
        }
        let answer = served.raw(to, &endless);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let served = Served::new();
    for path in [
        "/v1/robots?limit=many",
        "/v1/robots?limit=-1",
        "/v1/robots?after=x",
        "/v1/robots?page=2",
        "/v1/robots?after=99999999999",
        "/v1/images?after=x",
        "/v1/rollouts?after=1.5",
        "/v1/rollouts?limit=1&limit=2",
    ] {
        assert_eq!(
            served.get(path).refusal(),
            (400, "invalid_query".to_owned()),
            "{path}"
        );
    }
    served.robot("r", "hw");
    assert_eq!(served.get("/v1/robots/r/history?before=x").refusal().0, 400);
    assert_eq!(
        served.get("/v1/robots?limit=0").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "at least one"
    );
    assert_eq!(
        served.get("/v1/robots?limit=1000000").status,
        200,
        "a greater limit is cut"
    );
    assert_eq!(
        served.get("/v1/robots/%ff").refusal(),
        (400, "invalid_path".to_owned())
    );
}

#[test]
fn what_the_path_names_is_not_found_even_if_it_is_no_name() {
    let served = Served::new();
    for (path, code) in [
        ("/v1/robots/nobody", "unknown_robot"),
        ("/v1/robots/a%2Fb", "unknown_robot"),
        ("/v1/robots/nobody/history", "unknown_robot"),
        ("/v1/groups/none", "unknown_group"),
        ("/v1/groups/UPPER", "unknown_group"),
        ("/v1/images/fw@1", "unknown_image"),
        ("/v1/images/fw", "unknown_image"),
        ("/v1/rollouts/1", "unknown_rollout"),
        ("/v1/rollouts/one", "unknown_rollout"),
        ("/v1/rollouts/99999999999", "unknown_rollout"),
        ("/v1/rollouts/1/robots", "unknown_rollout"),
        ("/v1/rollouts/1/history", "unknown_rollout"),
        ("/v1/rollouts/1/robots/r/why", "unknown_rollout"),
    ] {
        assert_eq!(served.get(path).refusal(), (404, code.to_owned()), "{path}");
    }
    for path in [
        "/v1/robots/nobody",
        "/v1/robots/a%2Fb",
        "/v1/groups/none",
        "/v1/groups/UPPER",
        "/v1/rollouts/7",
    ] {
        assert_eq!(
            served.call("DELETE", path, json!(null)).status,
            404,
            "{path}"
        );
    }
    assert_eq!(
        served.call("PATCH", "/v1/rollouts/7", json!({})).status,
        404
    );
    assert_eq!(
        served.post("/v1/rollouts/7/launch", json!(null)).status,
        404
    );
}

#[test]
fn an_answer_never_echoes_a_long_text_at_length() {
    let served = Served::new();
    let long = "x".repeat(60_000);
    for path in [
        format!("/v1/robots/{long}"),
        format!("/{long}"),
        format!("/v1/rollouts/{long}"),
    ] {
        let answer = served.get(&path);
        assert_eq!(answer.status, 404);
        assert!(answer.bytes.len() < 1_000, "{}", answer.bytes.len());
    }
    let answer = served.post("/v1/robots", json!({ "id": long, "ecus": [] }));
    assert_eq!(answer.refusal().0, 422);
    assert!(answer.bytes.len() < 1_000);
}
