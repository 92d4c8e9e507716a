//! [`RobotMap`] and [`RobotSet`] beside the ordered collections of the standard library.

use proptest::prelude::*;
use rollcall_engine::{RobotKey, RobotMap, RobotSet};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, u16),
    Remove(u32),
    Change(u32, u16),
    Clear,
}

/// Numbers as they are given out, numbers with gaps, and numbers at both ends of what there is.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 1_u32..200,
        3 => (0_u32..40).prop_map(|far| far * 1_000 + 63),
        2 => 0_u32..3,
        2 => u32::MAX - 130..=u32::MAX,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (number(), any::<u16>()).prop_map(|(key, value)| Step::Insert(key, value)),
        4 => number().prop_map(Step::Remove),
        2 => (number(), any::<u16>()).prop_map(|(key, value)| Step::Change(key, value)),
        1 => Just(Step::Clear),
    ]
}

/// `Box`, so that a value that is lost or dropped twice would be noticed.
type Maps = (RobotMap<Box<u16>>, BTreeMap<RobotKey, Box<u16>>);

fn take((map, model): &mut Maps, step: &Step) {
    match *step {
        Step::Insert(key, value) => {
            let key = RobotKey(key);
            let value = Box::new(value);
            assert_eq!(map.insert(key, value.clone()), model.insert(key, value));
        }
        Step::Remove(key) => {
            let key = RobotKey(key);
            assert_eq!(map.remove(&key), model.remove(&key));
        }
        Step::Change(key, value) => {
            let key = RobotKey(key);
            let (here, there) = (map.get_mut(&key), model.get_mut(&key));
            assert_eq!(here, there);
            if let (Some(here), Some(there)) = (here, there) {
                **here = value;
                **there = value;
            }
        }
        Step::Clear => {
            map.clear();
            model.clear();
        }
    }
}

fn compare((map, model): &mut Maps, asked: &[u32]) {
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    for key in asked.iter().copied().map(RobotKey) {
        assert_eq!(map.get(&key), model.get(&key));
        assert_eq!(map.contains_key(&key), model.contains_key(&key));
        assert!(
            map.iter_after(Some(key)).eq(model
                .range((Excluded(key), Unbounded))
                .map(|(k, v)| (*k, v)))
        );
    }
    assert!(
        map.iter()
            .eq(model.iter().map(|(key, value)| (*key, value)))
    );
    assert!(
        map.iter_mut()
            .eq(model.iter_mut().map(|(key, value)| (*key, value)))
    );
    assert!(map.keys().eq(model.keys().copied()));
    assert!(map.values().eq(model.values()));
    assert!(map.values_mut().eq(model.values_mut()));
    assert_eq!(format!("{map:?}"), format!("{model:?}"));
    let again = model.iter().map(|(key, value)| (*key, value.clone()));
    // What it looked like before leaves no trace.
    assert_eq!(*map, again.collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_map_by_robot_is_an_ordered_map(
        steps in prop::collection::vec(step(), 0..200),
        asked in prop::collection::vec(number(), 1..8),
    ) {
        let mut maps = Maps::default();
        for (count, step) in steps.iter().enumerate() {
            take(&mut maps, step);
            if count % 16 == 0 {
                compare(&mut maps, &asked);
            }
        }
        compare(&mut maps, &asked);
    }

    #[test]
    fn a_set_of_robots_is_an_ordered_set(
        steps in prop::collection::vec((any::<bool>(), number()), 0..300),
        asked in number(),
    ) {
        let mut set = RobotSet::new();
        let mut model = BTreeSet::new();
        for (put_in, key) in steps {
            let key = RobotKey(key);
            if put_in {
                prop_assert_eq!(set.insert(key), model.insert(key));
            } else {
                prop_assert_eq!(set.remove(&key), model.remove(&key));
            }
            prop_assert_eq!(set.first(), model.first().copied());
            prop_assert_eq!(set.contains(&RobotKey(asked)), model.contains(&RobotKey(asked)));
        }
        prop_assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
        prop_assert!(set.iter().eq(model.iter().copied()));
        let after = RobotKey(asked);
        let behind = model.range((Excluded(after), Unbounded));
        prop_assert!(set.iter_after(Some(after)).eq(behind.copied()));
        prop_assert!(set.iter_after(None).eq(model.iter().copied()));
        prop_assert_eq!(format!("{set:?}"), format!("{model:?}"));
        prop_assert_eq!(&set, &model.iter().copied().collect());
        set.clear();
        prop_assert!(set.is_empty() && set.first().is_none());
    }

    /// Robots come in by number, are told from the front, and robots far apart are searched for.
    #[test]
    fn every_spacing_of_numbers_is_found(
        gaps in prop::collection::vec(prop_oneof![Just(1_u32), Just(64), 1_u32..500], 1..400),
    ) {
        let mut last = 0;
        let keys: Vec<_> = gaps.iter().map(|gap| { last += gap; RobotKey(last) }).collect();
        let mut map: RobotMap<_> = keys.iter().map(|key| (*key, key.0)).collect();
        for key in &keys {
            prop_assert_eq!(map.get(key), Some(&key.0));
            let next = RobotKey(key.0 + 1);
            prop_assert_eq!(map.contains_key(&next), keys.binary_search(&next).is_ok());
        }
        for (index, key) in keys.iter().enumerate() {
            prop_assert_eq!(map.keys().next(), Some(*key));
            prop_assert_eq!(map.remove(key), Some(key.0));
            prop_assert_eq!(map.get(key), None);
            prop_assert!(keys.get(index + 1).is_none_or(|next| map.contains_key(next)));
        }
        prop_assert!(map.is_empty());
    }
}
