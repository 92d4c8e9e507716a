//! Topics: every one a robot may use, and those it may not.

use rollcall_proto::topic::{Base, TopicError, Uplink, is_device_publishable};

const BASE: Base<'static> = Base {
    realm: "fleet",
    robot: "r1",
};

fn parse(rest: &str) -> Result<Uplink<'_>, TopicError> {
    Uplink::parse(rest).map(|(base, uplink)| {
        assert_eq!(base, BASE);
        uplink
    })
}

#[test]
fn every_topic_that_a_robot_publishes_is_parsed_back() {
    for (topic, uplink) in [
        (BASE.manifest(), Uplink::Manifest),
        (BASE.state(), Uplink::State),
        (BASE.base_image("arm"), Uplink::BaseImage { ecu: "arm" }),
        (BASE.ota_event("arm"), Uplink::OtaEvent { ecu: "arm" }),
        (BASE.introspection(), Uplink::Introspection),
        (BASE.empty_cache(), Uplink::EmptyCache),
        (BASE.producer_properties(), Uplink::ProducerProperties),
        (BASE.edgehog_ota_event(), Uplink::EdgehogOtaEvent),
        (
            BASE.edgehog_base_image("version"),
            Uplink::EdgehogBaseImage {
                property: "version",
            },
        ),
        (
            BASE.interface("io.edgehog.devicemanager.SystemInfo", "partNumber"),
            Uplink::OtherInterface {
                interface: "io.edgehog.devicemanager.SystemInfo",
                path: "partNumber",
            },
        ),
        (
            BASE.interface("org.example.Sensors", "imu/0/value"),
            Uplink::OtherInterface {
                interface: "org.example.Sensors",
                path: "imu/0/value",
            },
        ),
        ("fleet/r1/capabilities".to_owned(), Uplink::Capabilities),
    ] {
        assert_eq!(parse(&topic), Ok(uplink), "{topic}");
        assert!(is_device_publishable(&BASE, &topic));
    }
}

#[test]
fn what_belongs_to_the_server_is_not_publishable() {
    for topic in [
        BASE.ota_request("arm"),
        BASE.ack(),
        BASE.edgehog_ota_request(),
        BASE.consumer_properties(),
        BASE.interface("io.edgehog.devicemanager.Commands", "request"),
        BASE.interface(
            "io.edgehog.devicemanager.apps.DeploymentCommand",
            "x/command",
        ),
    ] {
        assert_eq!(
            Uplink::parse(&topic),
            Err(TopicError::ServerOwned),
            "{topic}"
        );
        // Astarte answers a write on its own interfaces by a disconnect, with a reason; so it is looked at.
        let native = topic.contains("/rollcall.");
        assert_eq!(is_device_publishable(&BASE, &topic), !native, "{topic}");
    }
}

#[test]
fn another_robots_topic_is_not_publishable() {
    let other = Base {
        realm: "fleet",
        robot: "r2",
    };
    assert!(!is_device_publishable(&BASE, &other.manifest()));
    let elsewhere = Base {
        realm: "other",
        robot: "r1",
    };
    assert!(!is_device_publishable(&BASE, &elsewhere.manifest()));
}

#[test]
fn malformed_topics_are_refused_with_the_reason() {
    let long = format!("fleet/r1/a.B/{}", "x".repeat(1024));
    for (topic, error) in [
        ("", TopicError::BadBase),
        ("fleet", TopicError::BadBase),
        ("/fleet/r1", TopicError::BadBase),
        ("Fleet/r1", TopicError::BadBase),
        ("fleet/r.1/rollcall.v1.State", TopicError::BadBase),
        ("fleet/+/rollcall.v1.State", TopicError::BadBase),
        ("$SYS/r1/rollcall.v1.State", TopicError::BadBase),
        ("fleet/r1/", TopicError::BadInterface),
        ("fleet/r1/control", TopicError::UnknownControl),
        ("fleet/r1/control/", TopicError::UnknownControl),
        ("fleet/r1/control/emptyCache/", TopicError::UnknownControl),
        ("fleet/r1/rollcall.v1.Manifest/main", TopicError::BadPath),
        ("fleet/r1/rollcall.v1.Manifest/", TopicError::BadPath),
        ("fleet/r1/rollcall.v1.OTAEvent", TopicError::BadPath),
        ("fleet/r1/rollcall.v1.OTAEvent/a/b", TopicError::BadPath),
        ("fleet/r1/rollcall.v1.OTAEvent/a b", TopicError::BadPath),
        (
            "fleet/r1/rollcall.v2.OTAEvent/a",
            TopicError::UnknownRollcallInterface,
        ),
        ("fleet/r1/rollcall.", TopicError::UnknownRollcallInterface),
        ("fleet/r1/a..b/c", TopicError::BadInterface),
        ("fleet/r1/-a/c", TopicError::BadInterface),
        ("fleet/r1/a.B", TopicError::BadPath),
        ("fleet/r1/a.B/c//d", TopicError::BadPath),
        ("fleet/r1/a.B/#", TopicError::BadPath),
        ("fleet/r1/ä/c", TopicError::BadInterface),
        (&long, TopicError::TooLong(1037)),
    ] {
        assert_eq!(Uplink::parse(topic), Err(error), "{topic}");
    }
}

#[test]
fn a_robot_subscribes_only_below_its_own_base() {
    for filter in [
        BASE.ota_request_filter(),
        BASE.ack(),
        BASE.edgehog_ota_request_filter(),
        BASE.consumer_properties(),
        "fleet/r1/#".to_owned(),
        "fleet/r1/+/x".to_owned(),
    ] {
        assert!(BASE.may_subscribe(&filter), "{filter}");
    }
    for filter in [
        "#",
        "+/+/#",
        "fleet/#",
        "fleet/+/rollcall.v1.Ack",
        "fleet/r2/#",
        "fleet/r1",
        "fleet/r12/#",
        "+/r1/#",
    ] {
        assert!(!BASE.may_subscribe(filter), "{filter}");
    }
}

#[test]
fn client_ids_are_a_base_and_nothing_more() {
    assert_eq!(Base::parse("fleet/r1"), Ok(BASE));
    for bad in [
        "fleet",
        "fleet/",
        "/r1",
        "fleet/r1/",
        "fleet/r1/x",
        "fleet/r\u{0}1",
    ] {
        assert_eq!(Base::parse(bad), Err(TopicError::BadBase), "{bad}");
    }
}
