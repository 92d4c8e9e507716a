use super::*;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("rollcall.toml"), Overrides::default())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_defaults_and_what_is_not_encrypted_is_loopback() {
    let config = parse("").unwrap();
    assert_eq!(config.realm, "fleet");
    assert_eq!(config.mqtt.address, "127.0.0.1:1883".parse().unwrap());
    assert_eq!(config.http.address, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(
        config.device_http.address,
        "127.0.0.1:8081".parse().unwrap()
    );
    assert!(!config.device_http.tls);
    assert_eq!(config.mqtts.address, "0.0.0.0:8883".parse().ok());
    assert_eq!(config.store.reserve, 256_000_000);
    assert_eq!(config.mqtt.open, Open::default());
    assert!(!config.dev);
}

#[test]
fn the_examples_are_valid_and_the_commented_one_shows_the_defaults() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let full = Config::load(Some(&examples.join("rollcall.toml")), Overrides::default()).unwrap();
    assert_eq!(format!("{full:?}"), format!("{:?}", parse("").unwrap()));
    let open = Config::load(
        Some(&examples.join("open-broker.toml")),
        Overrides::default(),
    )
    .unwrap();
    assert!(open.mqtt.open.anonymous);
    assert!(open.mqtt.address.ip().is_loopback());
}

#[test]
fn the_command_line_wins_over_the_file() {
    let flags = Overrides {
        data_dir: Some("/elsewhere".into()),
        mqtt: Some("127.0.0.2:1".parse().unwrap()),
        dev: true,
        ..Overrides::default()
    };
    let text = "data_dir = \"/here\"\n[mqtt]\naddress = \"127.0.0.1:9\"\n[http]\naddress = \"127.0.0.1:8\"";
    let config = Config::parse(text, Path::new("x"), flags).unwrap();
    assert_eq!(config.data_dir, Path::new("/elsewhere"));
    assert_eq!(config.mqtt.address, "127.0.0.2:1".parse().unwrap());
    assert_eq!(config.http.address, "127.0.0.1:8".parse().unwrap());
    assert!(config.dev);
}

#[test]
fn durations_and_sizes_are_written_as_people_write_them() {
    let config = parse(
        "[store]\nreserve = \"1 GiB\"\ncache = 2097152\nretention = \"2 weeks\"\n\
         [mqtt.limits]\nconnect_timeout = \"3s\"\nmax_packet_size = \"64KiB\"",
    )
    .unwrap();
    assert_eq!(config.store.reserve, 1 << 30);
    assert_eq!(config.store.cache, 2 << 20);
    assert_eq!(config.store.retention, Duration::from_secs(14 * 86_400));
    assert_eq!(config.mqtt.limits.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.mqtt.limits.max_packet_size, 65_536);
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let refusal = refusal("realm = \"a\"\n[mqtt]\nadress = \"127.0.0.1:1\"");
    assert!(refusal.contains("rollcall.toml"), "{refusal}");
    assert!(
        refusal.contains("adress") && refusal.contains("line 3"),
        "{refusal}"
    );
}

/// File, key, value and remedy that the refusal names.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "[mqtt.limits]\nmax_keep_alive = \"1day\"",
        "mqtt.limits.max_keep_alive",
        "1day",
        "1s to 18h 12m 15s",
    ),
    (
        "[mqtt.limits]\ntopic_alias_bytes = \"2 MiB\"",
        "mqtt.limits.topic_alias_bytes",
        "2097152",
        "use 0 to 1048576 bytes",
    ),
    ("realm = \"Fleet/1\"", "realm", "Fleet/1", "lower-case"),
    (
        "[mqtt]\naddress = \"here\"",
        "mqtt.address",
        "here",
        "127.0.0.1:1883",
    ),
    (
        "[mqtt]\naddress = \"0.0.0.0:1883\"",
        "mqtt.address",
        "0.0.0.0",
        "allow_remote_plain = true",
    ),
    (
        "[http]\naddress = \"[::]:1\"",
        "http.address",
        "[::]",
        "allow_remote_plain = true",
    ),
    (
        "[device_http]\naddress = \"10.0.0.1:1\"\ntls = false",
        "device_http.address",
        "10.0.0.1",
        "loopback",
    ),
    (
        "[mqtts]\naddress = \"everywhere\"",
        "mqtts.address",
        "everywhere",
        "IP address",
    ),
    (
        "dev = true\n[mqtts]\naddress = \"0.0.0.0:8883\"",
        "mqtts.address",
        "0.0.0.0",
        "loopback",
    ),
    (
        "[mqtts]\npublic_url = \"mqtts://robots.example.org\"",
        "mqtts.public_url",
        "robots.example.org",
        "8883",
    ),
    (
        "[mqtts]\npublic_url = \"https://robots.example.org:8883\"",
        "mqtts.public_url",
        "https",
        "mqtts://",
    ),
    (
        "[websocket]\naddress = \"everywhere\"",
        "websocket.address",
        "everywhere",
        "IP address",
    ),
    (
        "[websocket]\naddress = \"0.0.0.0:80\"\ntls = false",
        "websocket.address",
        "0.0.0.0",
        "allow_remote_plain = true",
    ),
    (
        "dev = true\n[websocket]\naddress = \"0.0.0.0:80\"\nallow_remote_plain = true",
        "websocket.address",
        "0.0.0.0",
        "loopback",
    ),
    (
        "[websocket]\npublic_url = \"https://robots.example.org\"",
        "websocket.public_url",
        "https",
        "wss://",
    ),
    (
        "[http]\naddress = \"127.0.0.1:1883\"",
        "http.address",
        "127.0.0.1:1883",
        "mqtt.address takes it",
    ),
    (
        "[mqtt.limits]\nmax_sessions = 14999",
        "mqtt.limits.max_sessions",
        "14999",
        "15000",
    ),
    (
        "[tls]\nca_certificate = \"ca.pem\"",
        "tls.ca_certificate",
        "ca.pem",
        "tls.ca_key",
    ),
    (
        "[tls]\nkey = \"server.key\"",
        "tls.key",
        "server.key",
        "tls.certificate",
    ),
    (
        "[tls]\nnames = [\"https://x\"]",
        "tls.names",
        "https://x",
        "host names",
    ),
    (
        "[tls]\nrobot_certificate_lifetime = \"0s\"",
        "tls.robot_certificate_lifetime",
        "0s",
        "1s to",
    ),
    (
        "[http]\npublic_url = \"example.org\"",
        "http.public_url",
        "example.org",
        "absolute URL",
    ),
    (
        "[device_http]\npublic_url = \"http:///x\"",
        "device_http.public_url",
        "http:///x",
        "absolute",
    ),
    (
        "[device_http]\nmax_uploads = 0",
        "device_http.max_uploads",
        "0",
        "at least 1",
    ),
    (
        "[device_http]\nmax_artifact_size = 0",
        "max_artifact_size",
        "0",
        "at least 1",
    ),
    (
        "[mqtt.open]\npublish = [\"a/#/b\"]",
        "mqtt.open.publish",
        "a/#/b",
        "'#' last",
    ),
    (
        "[mqtt.limits]\nmax_connections = 0",
        "max_connections",
        "0",
        "at least 1",
    ),
    (
        "[mqtt.limits]\nmax_packet_size = \"2 MiB\"",
        "max_packet_size",
        "2097152",
        "1048576",
    ),
    (
        "[mqtt.limits]\nconnect_timeout = \"1ms\"",
        "connect_timeout",
        "1ms",
        "1s to 1h",
    ),
    (
        "[artifacts]\nmax_downloads = 0",
        "artifacts.max_downloads",
        "0",
        "at least 1",
    ),
    (
        "[artifacts]\nmax_downloads = 1025",
        "artifacts.max_downloads",
        "1025",
        "at most 1024",
    ),
    (
        "[artifacts]\nmax_bandwidth = \"10 kB\"",
        "artifacts.max_bandwidth",
        "10000",
        "64 KiB",
    ),
    (
        "[artifacts]\nstall_timeout = \"10ms\"",
        "artifacts.stall_timeout",
        "10ms",
        "1s to",
    ),
    (
        "[artifacts]\nstorage = \"s3\"",
        "artifacts.s3.bucket",
        "\"\"",
        "the bucket's name",
    ),
    (
        "[artifacts.s3]\nbucket = \"updates\"",
        "artifacts.s3.bucket",
        "updates",
        "storage = \"s3\"",
    ),
    (
        "[artifacts]\nstorage = \"s3\"\n[artifacts.s3]\nbucket = \"updates\"\nprefix = \"../x\"",
        "artifacts.s3.prefix",
        "../x",
        "another prefix",
    ),
    (
        "[artifacts]\nstorage = \"s3\"\n[artifacts.s3]\nbucket = \"updates\"\nendpoint = \"http://10.0.0.1:9000\"",
        "artifacts.s3.endpoint",
        "10.0.0.1",
        "allow_remote_plain = true",
    ),
    (
        "[store]\nretention = \"0s\"",
        "store.retention",
        "0s",
        "1s to",
    ),
];

#[test]
fn every_wrong_value_is_refused_by_its_key_with_a_remedy() {
    for (text, key, value, remedy) in WRONG {
        let refusal = refusal(text);
        assert!(refusal.contains("rollcall.toml"), "{text}: {refusal}");
        for part in [key, value, remedy] {
            assert!(
                refusal.contains(part),
                "{text}: {part:?} is not in {refusal}"
            );
        }
    }
}

#[test]
fn a_value_of_the_wrong_type_or_unit_is_refused_with_its_line() {
    for text in [
        "[store]\nreserve = \"many\"",
        "[store]\nreserve = -1",
        "[store]\nreserve = \"99999999999 GiB\"",
        "[store]\nretention = \"soon\"",
        "[mqtt.limits]\nsend_window = 65536",
        "[artifacts]\nstorage = \"tape\"",
        "[artifacts]\ncheck = \"never\"",
        "[artifacts.s3]\nsecret_access_key = \"x\"",
        "dev = \"yes\"",
        "realm = ",
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains("line "), "{text}: {refusal}");
    }
}

#[test]
fn device_http_speaks_tls_beyond_loopback_unless_it_is_told_not_to_in_words() {
    for (text, tls) in [
        ("", false),
        ("tls = true", true),
        ("address = \"10.0.0.1:1\"", true),
        ("address = \"0.0.0.0:1\"", true),
        ("address = \"10.0.0.1:1\"\nallow_remote_plain = true", false),
        (
            "address = \"10.0.0.1:1\"\nallow_remote_plain = true\ntls = true",
            true,
        ),
    ] {
        let config = parse(&format!("[device_http]\n{text}")).unwrap();
        assert_eq!(config.device_http.tls, tls, "{text}");
    }
}

#[test]
fn websocket_is_off_until_it_is_asked_for_and_speaks_tls_beyond_loopback() {
    assert_eq!(parse("").unwrap().websocket.address, None);
    for (text, tls) in [
        ("address = \"127.0.0.1:9001\"", false),
        ("address = \"127.0.0.1:9001\"\ntls = true", true),
        ("address = \"10.0.0.1:1\"", true),
        ("address = \"10.0.0.1:1\"\nallow_remote_plain = true", false),
        ("address = \"off\"\ntls = true", false),
    ] {
        let config = parse(&format!("[websocket]\n{text}")).unwrap();
        assert_eq!(config.websocket.tls, tls, "{text}");
    }
    let flags = Overrides {
        websocket: Some("10.0.0.1:1".parse().unwrap()),
        ..Overrides::default()
    };
    let config = Config::parse("", Path::new("x"), flags).unwrap();
    assert_eq!(config.websocket.address, "10.0.0.1:1".parse().ok());
    assert!(config.websocket.tls);
}

#[test]
fn mqtts_can_be_turned_off_and_stays_on_loopback_in_development_mode() {
    let off = parse("[mqtts]\naddress = \"off\"").unwrap();
    assert_eq!(off.mqtts.address, None);
    let dev = parse("dev = true").unwrap();
    assert_eq!(dev.mqtts.address, "127.0.0.1:8883".parse().ok());
    let flags = Overrides {
        mqtts: Some(Switch::Off),
        ..Overrides::default()
    };
    let config = Config::parse("[mqtts]\naddress = \"10.0.0.1:1\"", Path::new("x"), flags);
    assert_eq!(config.unwrap().mqtts.address, None);
}

#[test]
fn development_mode_never_leaves_loopback() {
    let text = "dev = true\n[mqtt]\naddress = \"0.0.0.0:1883\"\nallow_remote_plain = true";
    assert!(refusal(text).contains("mqtt.address"));
    assert!(parse(&text.replace("dev = true", "")).is_ok());
}
