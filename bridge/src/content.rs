//! Between the payloads of Edgehog devices and the engine's typed values.

use rollcall_engine::{Content, Document, Part, Value};
use rollcall_proto::edgehog::{self, Data, Property};
use std::borrow::Cow;

/// What `payload` says, which was read as `data`.
pub(crate) fn of(data: Data, payload: &[u8]) -> Content {
    let parts = match data {
        Data::Individual(edgehog::Value::Array(list)) => parts(None, edgehog::Value::Array(list)),
        Data::Individual(value) => match scalar(value) {
            Some(value) => return Content::Value(value),
            None => Vec::new(),
        },
        Data::Object(values) => {
            let values = values.into_iter();
            values
                .flat_map(|(key, value)| parts(Some(&key), value))
                .collect()
        }
    };
    Content::Document(Box::new(Document {
        payload: payload.into(),
        parts: parts.into(),
    }))
}

/// What a payload says that was taken before. One that cannot be read any more is kept as it is.
pub(crate) fn read(payload: Vec<u8>) -> Content {
    match Data::decode(&payload) {
        Ok((data, _)) => of(data, &payload),
        Err(_) => Content::Document(Box::new(Document {
            payload: payload.into(),
            parts: Box::default(),
        })),
    }
}

/// The payload that says it. What time a device gave to a single value is not in it: device clocks decide nothing.
pub(crate) fn payload(content: &Content) -> Cow<'_, [u8]> {
    let value = match content {
        Content::Document(document) => return Cow::Borrowed(&document.payload),
        Content::Value(value) => value,
    };
    let value = match value {
        Value::Text(text) => edgehog::Value::String(text.to_string()),
        Value::Integer(number) => edgehog::Value::Integer(*number),
        Value::LongInteger(number) => edgehog::Value::LongInteger(*number),
        Value::Double(number) => edgehog::Value::Double(*number),
        Value::Boolean(truth) => edgehog::Value::Boolean(*truth),
        Value::DateTime(at) => edgehog::Value::DateTime(*at),
        Value::Blob(bytes) => edgehog::Value::BinaryBlob(bytes.to_vec()),
    };
    Cow::Owned(Property::Set(value).encode())
}

fn parts(key: Option<&str>, value: edgehog::Value) -> Vec<Part> {
    let values = match value {
        edgehog::Value::Array(values) => values,
        single => vec![single],
    };
    let part = |value| {
        Some(Part {
            key: key.map(Into::into),
            value: scalar(value)?,
        })
    };
    values.into_iter().filter_map(part).collect()
}

fn scalar(value: edgehog::Value) -> Option<Value> {
    Some(match value {
        edgehog::Value::String(text) => Value::Text(text.into()),
        edgehog::Value::Integer(number) => Value::Integer(number),
        edgehog::Value::LongInteger(number) => Value::LongInteger(number),
        edgehog::Value::Double(number) => Value::Double(number),
        edgehog::Value::Boolean(truth) => Value::Boolean(truth),
        edgehog::Value::DateTime(at) => Value::DateTime(at),
        edgehog::Value::BinaryBlob(bytes) => Value::Blob(bytes.into()),
        edgehog::Value::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row keeps the payload, so it must come back as the same value and say the same.
    #[test]
    fn every_single_value_survives_the_way_to_a_payload_and_back() {
        for value in [
            Value::Text("é\0\"".into()),
            Value::Integer(i32::MIN),
            Value::LongInteger(i64::MAX),
            Value::Double(-0.25),
            Value::Boolean(false),
            Value::DateTime(-1),
            Value::Blob([0, 255].into()),
        ] {
            let content = Content::from(value);
            let bytes = payload(&content).into_owned();
            assert_eq!(read(bytes.clone()), content);
            assert_eq!(*payload(&read(bytes.clone())), *bytes);
        }
    }

    #[test]
    fn lists_and_objects_keep_their_payload_and_show_their_values() {
        let list = edgehog::Value::Array(vec![
            edgehog::Value::Boolean(true),
            edgehog::Value::Boolean(false),
        ]);
        let bytes = Property::Set(list).encode();
        let content = read(bytes.clone());
        assert_eq!(*payload(&content), *bytes);
        let values: Vec<_> = content.at(None).collect();
        assert_eq!(values, [&Value::Boolean(true), &Value::Boolean(false)]);
        // {v: {levelPercentage: 80.5}}
        let battery = b"\x26\0\0\0\x03v\0\x1e\0\0\0\x01levelPercentage\0\0\0\0\0\0\x20\x54\x40\0\0";
        let content = read(battery.to_vec());
        assert_eq!(*payload(&content), *battery);
        let level: Vec<_> = content.at(Some("levelPercentage")).collect();
        assert_eq!(level, [&Value::Double(80.5)]);
        assert_eq!(content.at(None).count(), 0);
    }

    #[test]
    fn the_time_of_a_single_value_is_not_kept() {
        // {v: true, t: 1970-01-01T00:00:01Z}
        let timed = b"\x14\0\0\0\x08v\0\x01\x09t\0\xe8\x03\0\0\0\0\0\0\0";
        assert_eq!(read(timed.to_vec()), Value::Boolean(true).into());
    }

    #[test]
    fn a_stored_payload_that_is_none_stays_as_it_is_and_says_nothing() {
        for bytes in [&b""[..], b"\x05", b"\x05\0\0\0\0", &[0xff; 40]] {
            let content = read(bytes.to_vec());
            assert_eq!(*payload(&content), *bytes);
            assert_eq!(content.at(None).count(), 0);
        }
    }
}
