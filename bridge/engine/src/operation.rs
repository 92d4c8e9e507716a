//! Operations: one attempt on one ECU, named on the wire by a uuid that everybody can compute.

use crate::inventory::RobotKey;
use crate::names::EcuName;
use crate::rollout::RolloutId;
use uuid::Uuid;

const NAMESPACE: Uuid = Uuid::from_u128(0x8f0d_97c1_3a5e_4b0e_9d2c_61f4_7a1b_c05d);

/// The operation's uuid (version 5). A function of its place, so the engine needs no randomness and no index.
#[must_use]
pub fn operation_id(rollout: RolloutId, robot: RobotKey, ecu: &EcuName, attempt: u16) -> Uuid {
    let mut name = [0_u8; 10 + 32];
    name[..4].copy_from_slice(&rollout.0.to_be_bytes());
    name[4..8].copy_from_slice(&robot.0.to_be_bytes());
    name[8..10].copy_from_slice(&attempt.to_be_bytes());
    let ecu = ecu.as_str().as_bytes();
    name[10..10 + ecu.len()].copy_from_slice(ecu);
    Uuid::new_v5(&NAMESPACE, &name[..10 + ecu.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_ids_are_frozen_because_robots_and_databases_remember_them() {
        let ecu = EcuName::new("main").unwrap();
        let id = operation_id(RolloutId(1), RobotKey(2), &ecu, 3);
        assert_eq!(id.get_version_num(), 5);
        assert_eq!(id.to_string(), "05ed1472-c7f2-5ba5-81e0-903aca3b0ead");
        assert_ne!(id, operation_id(RolloutId(1), RobotKey(2), &ecu, 4));
        assert_ne!(id, operation_id(RolloutId(2), RobotKey(2), &ecu, 3));
    }
}
