//! The JSON of a DCL node (Cosmos SDK's gRPC gateway): numbers of 64 bits are texts, lists come in pages.

use rollcall_engine::{LedgerRecord, MAX_LEDGER_VERSIONS, Product};
use serde::Deserialize;
use serde_json::Value;

/// How much is shown of what a node or a file says.
const SHOWN: usize = 200;

/// A list of the versions of one product.
#[derive(Debug, Deserialize)]
pub(super) struct Versions {
    #[serde(rename = "modelVersions")]
    pub(super) model_versions: Numbers,
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Numbers {
    vid: Value,
    pid: Value,
    /// Without it nothing is listed, which is not the same as a list of nothing.
    #[serde(rename = "softwareVersions")]
    software_versions: Vec<Value>,
}

/// A page of everything that the ledger has.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(rename = "modelVersion")]
    pub(super) model_version: Vec<Value>,
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    next_key: Option<String>,
}

impl Pagination {
    /// The key of the next page.
    pub(super) fn next(page: Option<Self>) -> Option<String> {
        page?.next_key.filter(|key| !key.is_empty())
    }
}

/// What a node says when it says no.
#[derive(Debug, Deserialize)]
pub(super) struct Denial {
    /// gRPC's number of the fault.
    pub(super) code: u32,
    #[serde(default)]
    pub(super) message: String,
}

/// `NOT_FOUND` and `UNIMPLEMENTED` in gRPC's numbers.
pub(super) const NOT_FOUND: u32 = 5;
pub(super) const UNIMPLEMENTED: u32 = 12;

/// A record that cannot even be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// Its version, if so much can be read.
    pub(super) number: Option<u32>,
    /// Why.
    pub(super) why: String,
    /// The product of which it withdraws the version, if so much can be read.
    pub(super) withdraws: Option<Product>,
}

pub(super) type Entry = Result<LedgerRecord, Unreadable>;

impl Numbers {
    /// The numbers, if they are all numbers, and of this product.
    pub(super) fn of(self, product: Product) -> Result<Vec<u32>, String> {
        let found = (short(&self.vid), short(&self.pid));
        if found != (Some(product.vid), Some(product.pid)) {
            return Err(format!(
                "it lists versions of vid {}, pid {}",
                shown(&self.vid.to_string()),
                shown(&self.pid.to_string())
            ));
        }
        let read = |value: &Value| {
            let number = number(value).and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| format!("it lists version {}", shown(&value.to_string())))
        };
        self.software_versions.iter().map(read).collect()
    }
}

/// Reads one record.
pub(super) fn entry(value: Value) -> Entry {
    let number = value.get("softwareVersion").and_then(number);
    let number = number.and_then(|number| u32::try_from(number).ok());
    let withdraws = withdraws(&value);
    serde_json::from_value(value).map_err(|error| Unreadable {
        number,
        why: shown(&error.to_string()),
        withdraws,
    })
}

fn withdraws(value: &Value) -> Option<Product> {
    let says_so = value.get("softwareVersionValid") == Some(&Value::Bool(false));
    let number = |key| value.get(key).and_then(short).filter(|_| says_so);
    Some(Product {
        vid: number("vid")?,
        pid: number("pid")?,
    })
}

/// Reads the body of one version's answer.
pub(super) fn single(body: &[u8]) -> Result<Entry, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    let found = value.get_mut("modelVersion").map(Value::take);
    found
        .map(entry)
        .ok_or_else(|| "there is no modelVersion in it".to_owned())
}

/// Whether the entry is of the product, as far as that can be read.
pub(super) fn is_of(value: &Value, product: Product) -> bool {
    let of = |key, wanted| {
        let found = value.get(key);
        found.and_then(short).is_none_or(|found| found == wanted)
    };
    of("vid", product.vid) && of("pid", product.pid)
}

/// Reads a file: the answer of a node, or a list of them.
pub(super) fn file(body: &[u8]) -> Result<Vec<Entry>, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    if let Some(inner) = value.get_mut("modelVersion") {
        value = inner.take();
    }
    let values = match value {
        Value::Array(values) => values,
        one @ Value::Object(_) => vec![one],
        _ => Vec::new(),
    };
    if values.len() > MAX_LEDGER_VERSIONS {
        return Err(format!(
            "it has {} records, and at most {MAX_LEDGER_VERSIONS} are taken; leave out those of other products, or split it",
            values.len()
        ));
    }
    let unwrapped = values.into_iter().map(|mut value| {
        let inner = value.get_mut("modelVersion").map(Value::take);
        entry(inner.unwrap_or(value))
    });
    let entries: Vec<_> = unwrapped.collect();
    if entries.is_empty() {
        return Err("there is no modelVersion in it".to_owned());
    }
    Ok(entries)
}

pub(super) fn not_json(error: &serde_json::Error) -> String {
    format!(
        "it is not the JSON of a node: {}",
        shown(&error.to_string())
    )
}

/// What others say, cut off where it gets long.
pub(super) fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(SHOWN).collect()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

fn short(value: &Value) -> Option<u16> {
    number(value).and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PRODUCT: Product = Product {
        vid: 0xfff1,
        pid: 0x8000,
    };

    fn record(number: Value) -> Value {
        json!({
            "vid": 0xfff1, "pid": 0x8000, "softwareVersion": number, "softwareVersionString": "1",
            "softwareVersionValid": true, "minApplicableSoftwareVersion": 0, "maxApplicableSoftwareVersion": 9,
        })
    }

    fn numbers(entries: &[Entry]) -> Vec<u32> {
        let read = entries.iter().filter_map(|entry| entry.as_ref().ok());
        read.map(|record| record.software_version).collect()
    }

    #[test]
    fn a_file_may_be_any_answer_of_a_node_or_a_list_of_them() {
        let (one, two) = (record(json!(1)), record(json!("2")));
        for (text, found) in [
            (json!({"modelVersion": one}), vec![1]),
            (
                json!({"modelVersion": [one, two], "pagination": {"next_key": null, "total": "2"}}),
                vec![1, 2],
            ),
            (json!([one, {"modelVersion": two}]), vec![1, 2]),
            (one.clone(), vec![1]),
        ] {
            let entries = file(text.to_string().as_bytes()).unwrap();
            assert_eq!(numbers(&entries), found, "{text}");
        }
    }

    #[test]
    fn what_is_no_file_of_versions_is_refused() {
        for text in [
            "",
            "{",
            "1",
            "[]",
            "\"x\"",
            "{\"modelVersion\":[]}",
            "null",
            "{\"modelVersion\":null}",
        ] {
            assert!(file(text.as_bytes()).is_err(), "{text}");
        }
        let entries = file(b"{\"modelVersions\":{}}").unwrap();
        assert!(entries[0].is_err());
    }

    #[test]
    fn a_file_has_at_most_as_many_records_as_a_product_versions() {
        let many = |count| json!(vec![Value::Null; count]).to_string();
        assert_eq!(file(many(1_000).as_bytes()).unwrap().len(), 1_000);
        let refused = file(many(1_001).as_bytes()).unwrap_err();
        assert!(refused.contains("1001 records"), "{refused}");
    }

    #[test]
    fn a_list_without_its_versions_is_no_list_of_nothing() {
        let cut = json!({"modelVersions": {"vid": 1, "pid": 2}});
        assert!(serde_json::from_value::<Versions>(cut).is_err());
    }

    #[test]
    fn a_record_that_cannot_be_read_may_still_withdraw_its_version() {
        let mut bad = record(json!(2));
        bad["otaFileSize"] = json!("many");
        let withdraws = |value: &Value| entry(value.clone()).unwrap_err().withdraws;
        assert_eq!(withdraws(&bad), None);
        bad["softwareVersionValid"] = json!(false);
        assert_eq!(withdraws(&bad), Some(PRODUCT));
        bad["pid"] = json!("x");
        assert_eq!(withdraws(&bad), None);
    }

    #[test]
    fn a_bad_record_is_named_and_the_others_are_read() {
        let mut bad = record(json!(2));
        bad["softwareVersionValid"] = json!("y".repeat(1 << 20));
        let body = json!({"modelVersion": [record(json!(1)), bad, 7, record(json!(3))]});
        let entries = file(body.to_string().as_bytes()).unwrap();
        assert_eq!(numbers(&entries), [1, 3]);
        let second = entries[1].as_ref().unwrap_err();
        assert_eq!(second.number, Some(2));
        assert!(second.why.len() < 300, "{}", second.why.len());
        assert_eq!(entries[2].as_ref().unwrap_err().number, None);
    }

    #[test]
    fn a_list_of_versions_is_of_the_product_or_not_taken() {
        let list = |vid: Value, versions: Value| {
            let json = json!({"modelVersions": {"vid": vid, "pid": "32768", "softwareVersions": versions}});
            let list: Versions = serde_json::from_value(json).unwrap();
            list.model_versions.of(PRODUCT)
        };
        assert_eq!(list(json!(65521), json!([1, "2"])), Ok(vec![1, 2]));
        assert!(list(json!(1), json!([1])).is_err());
        for odd in [
            json!([-1]),
            json!([4294967296_u64]),
            json!([null]),
            json!(["x"]),
        ] {
            assert!(list(json!(65521), odd).is_err());
        }
    }
}
