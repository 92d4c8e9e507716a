//! Both directions against the simplest model: a map from numbers to names.

use super::{Assigned, Known, Naming, resolve};
use crate::codec::{Properties, PropertyId, Publish, QoS, ReasonCode};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn publish(topic: &str, alias: Option<u16>) -> Publish {
    let mut properties = Properties::builder();
    if let Some(alias) = alias {
        properties = properties.number(PropertyId::TopicAlias, u32::from(alias));
    }
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic.into(),
        packet_id: 0,
        properties: properties.build().expect("fits"),
        payload: Bytes::new(),
    }
}

/// Few names of very different lengths.
fn name() -> impl Strategy<Value = String> {
    (0..30_usize, 1..4_usize)
        .prop_map(|(number, length)| format!("{number}{}", "/x".repeat(length * length)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1_000)
    })]

    /// What a client that keeps to the rules would understand is what was meant, within all bounds.
    #[test]
    fn a_client_understands_every_topic_that_it_is_sent(
        names in vec(name(), 1..200),
        maximum in 0..20_u16,
        max_bytes in 0..200_usize,
    ) {
        let mut assigned = Assigned::default();
        let mut client: BTreeMap<u16, &str> = BTreeMap::new();
        for name in &names {
            let naming = match assigned.known(name) {
                Some(alias) => Naming::Alias(alias),
                None => assigned.consider(name, maximum, max_bytes),
            };
            match naming {
                Naming::Name => {}
                Naming::NameAndAlias(alias) => {
                    prop_assert!((1..=maximum).contains(&alias));
                    client.insert(alias, name);
                }
                Naming::Alias(alias) => {
                    prop_assert_eq!(client.get(&alias).copied(), Some(name.as_str()));
                    prop_assert!(name.len() > 3, "it saves nothing");
                }
            }
            let bytes: usize = assigned.topics.iter().map(|topic| topic.name.len()).sum();
            prop_assert_eq!(bytes, assigned.bytes);
            prop_assert!(bytes <= max_bytes);
            prop_assert!(assigned.topics.len() <= usize::from(maximum));
            prop_assert!(assigned.seen.len() <= usize::from(maximum));
        }
    }

    /// The server understands what a client means, and refuses what nobody can.
    #[test]
    fn the_server_understands_every_alias_that_was_set(
        steps in vec((prop_oneof![Just(String::new()), name()], any::<bool>(), 0..20_u16), 1..100),
        maximum in 0..20_u16,
        max_bytes in 0..200_usize,
    ) {
        let mut known: Option<Box<Known>> = None;
        let mut model: BTreeMap<u16, String> = BTreeMap::new();
        for (name, has_alias, alias) in steps {
            let alias = (has_alias || name.is_empty()).then_some(alias);
            let mut sent = publish(&name, alias);
            let resolved = resolve(&mut known, &mut sent, maximum, max_bytes);
            let Some(alias) = alias else {
                prop_assert!(resolved.is_ok());
                prop_assert_eq!(&*sent.topic, &name);
                continue;
            };
            let code = resolved.err().map(|close| close.code);
            if alias == 0 || alias > maximum {
                prop_assert_eq!(code, Some(ReasonCode::TopicAliasInvalid));
                break;
            }
            if name.is_empty() {
                match model.get(&alias) {
                    Some(meant) => prop_assert_eq!(&*sent.topic, meant),
                    None => {
                        prop_assert_eq!(code, Some(ReasonCode::ProtocolError));
                        break;
                    }
                }
                continue;
            }
            model.insert(alias, name.clone());
            let bytes: usize = model.values().map(String::len).sum();
            if bytes > max_bytes {
                prop_assert_eq!(code, Some(ReasonCode::QuotaExceeded));
                break;
            }
            prop_assert_eq!(code, None);
            prop_assert_eq!(&*sent.topic, &name);
            prop_assert_eq!(known.as_ref().map(|known| known.bytes), Some(bytes));
        }
    }
}
