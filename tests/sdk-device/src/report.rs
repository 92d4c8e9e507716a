//! What the device says: to the server through the SDK, and to the test on standard output.

use crate::ota::{Image, Outcome};
use astarte_device_sdk::aggregate::AstarteObject;
use astarte_device_sdk::{AstarteData, Client};
use chrono::Utc;
use serde_json::{Map, Value};
use std::io::Write;

const PREFIX: &str = "io.edgehog.devicemanager.";

/// Tells the test what happened.
pub(crate) fn line(what: &str, details: &[(&str, &str)]) {
    let mut object = Map::new();
    object.insert("event".to_owned(), Value::from(what));
    for (key, value) in details {
        object.insert((*key).to_owned(), Value::from(*value));
    }
    // A test that has stopped listening has ended.
    let _ = writeln!(std::io::stdout(), "{}", Value::Object(object));
}

/// Sends an OTAEvent.
pub(crate) async fn event<C: Client>(
    client: &C,
    uuid: &str,
    outcome: Outcome,
    progress: i32,
) -> anyhow::Result<()> {
    let (status, code) = outcome.words();
    let mut object = AstarteObject::new();
    for (key, value) in [
        ("requestUUID", uuid),
        ("status", status),
        ("statusCode", code),
        ("message", ""),
    ] {
        object.insert(key.to_owned(), AstarteData::from(value.to_owned()));
    }
    object.insert("statusProgress".to_owned(), AstarteData::from(progress));
    client
        .clone()
        .send_object_with_timestamp(&format!("{PREFIX}OTAEvent"), "/event", object, Utc::now())
        .await?;
    line("said", &[("status", status), ("code", code)]);
    Ok(())
}

/// Sets the properties that say what the device is.
pub(crate) async fn properties<C: Client>(
    client: &C,
    installed: &Image,
    part_number: &str,
) -> anyhow::Result<()> {
    let mut client = client.clone();
    for (interface, path, value) in [
        ("BaseImage", "/name", "os"),
        ("BaseImage", "/version", &installed.version),
        ("BaseImage", "/buildId", &installed.build_id),
        ("OSInfo", "/osName", "TestOS"),
        ("OSInfo", "/osVersion", "12"),
        ("SystemInfo", "/partNumber", part_number),
        ("SystemInfo", "/serialNumber", "0001"),
    ] {
        let value = AstarteData::from(value.to_owned());
        client
            .set_property(&format!("{PREFIX}{interface}"), path, value)
            .await?;
    }
    Ok(())
}
