//! The order in which robots are chosen when only some are: by a salted hash (X9), so that the choice is random, is the
//! same on every machine, and a greater share only adds to a smaller one.

use crate::names::RobotId;

/// The robot's place under `salt`: sort by it.
#[must_use]
pub fn rank(salt: &[u8], robot: &RobotId) -> u64 {
    // FNV-1a, then the finalizer of MurmurHash3, because FNV alone hardly mixes its last bytes into the upper bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in salt.iter().chain(&[0]).chain(robot.as_str().as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
