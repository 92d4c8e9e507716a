//! Which table a row lives in, and its key.
//!
//! Both pack into one `u128`, the *slot*, whose order is the order of (table, key). The memory of
//! unwritten rows and the sweep over it compare slots only.

use std::fmt;

/// The tables of rows.
///
/// The numbers are written into the database: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row per robot.
    Robots = 1,
    /// One row per robot's position in its device stream.
    Cursors = 2,
    /// One row per robot in a rollout.
    Members = 3,
    /// One row per group.
    Groups = 4,
    /// One row per image.
    Images = 5,
    /// One row per rollout.
    Rollouts = 6,
    /// One row per stored preview.
    Previews = 7,
    /// One row per hosted artifact.
    Artifacts = 8,
    /// One row per pairing token.
    PairingTokens = 9,
    /// One row per Edgehog device: what it says of itself, and what is set on it.
    Devices = 10,
    /// One row per channel.
    Channels = 11,
    /// One row per version that a channel's ledger records.
    LedgerVersions = 12,
    /// One row per release.
    Releases = 13,
    /// One row per release that was not replaced: the robots that it can reach.
    Pools = 14,
    /// One row per MQTT session that outlives its connection.
    MqttSessions = 15,
    /// One row per message that waits for such a session or is under way to its client.
    MqttDeliveries = 16,
    /// One row per QoS 2 packet identifier that such a session's client has not released.
    MqttReceived = 17,
    /// One row per message that a delivery or a retained entry refers to.
    MqttMessages = 18,
    /// One row per topic with a retained message.
    MqttRetained = 19,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Robots,
        Self::Cursors,
        Self::Members,
        Self::Groups,
        Self::Images,
        Self::Rollouts,
        Self::Previews,
        Self::Artifacts,
        Self::PairingTokens,
        Self::Devices,
        Self::Channels,
        Self::LedgerVersions,
        Self::Releases,
        Self::Pools,
        Self::MqttSessions,
        Self::MqttDeliveries,
        Self::MqttReceived,
        Self::MqttMessages,
        Self::MqttRetained,
    ];

    /// The number that stands for this table on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }
}

/// A row's key: at most [`RowKey::MAX_LEN`] bytes, ordered as byte strings.
///
/// Numbers become big-endian bytes, so that numeric order is key order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The bytes from the top of the low 104 bits, zeros behind them, the length in the last
    /// byte: a prefix therefore sorts before what it begins.
    packed: u128,
}

/// A key of more than [`RowKey::MAX_LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row key of {0} bytes is longer than {max}", max = RowKey::MAX_LEN)]
pub struct KeyTooLong(pub usize);

impl RowKey {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 12;

    /// The key with these bytes.
    ///
    /// # Errors
    /// When there are more than [`RowKey::MAX_LEN`] of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyTooLong> {
        let too_long = KeyTooLong(bytes.len());
        if bytes.len() > Self::MAX_LEN {
            return Err(too_long);
        }
        let mut packed = [0; 16];
        for (to, from) in packed[3..15].iter_mut().zip(bytes) {
            *to = *from;
        }
        packed[15] = u8::try_from(bytes.len()).map_err(|_| too_long)?;
        Ok(Self {
            packed: u128::from_be_bytes(packed),
        })
    }

    /// The key's bytes in a fixed buffer, and how many of them count.
    #[must_use]
    pub fn to_bytes(self) -> KeyBytes {
        let packed = self.packed.to_be_bytes();
        let mut bytes = [0; Self::MAX_LEN];
        bytes.copy_from_slice(&packed[3..15]);
        KeyBytes {
            bytes,
            len: usize::from(packed[15]),
        }
    }

    /// The key as a number, if it was made from a `u32`.
    #[must_use]
    pub fn as_u32(self) -> Option<u32> {
        self.to_bytes()
            .as_ref()
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
    }

    /// The key as two numbers, if it was made from two `u32`.
    #[must_use]
    pub fn as_u32_pair(self) -> Option<(u32, u32)> {
        let both = self.as_u64()?.to_be_bytes();
        let (high, low) = both.split_at(4);
        Some((
            u32::from_be_bytes(high.try_into().ok()?),
            u32::from_be_bytes(low.try_into().ok()?),
        ))
    }

    /// The key as a number, if it was made from a `u64`.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.to_bytes()
            .as_ref()
            .try_into()
            .ok()
            .map(u64::from_be_bytes)
    }

    fn from_top(number: u128, len: u8) -> Self {
        let unused = 8 * (Self::MAX_LEN - usize::from(len));
        Self {
            packed: (number << (8 + unused)) | u128::from(len),
        }
    }
}

impl From<u32> for RowKey {
    fn from(key: u32) -> Self {
        Self::from_top(key.into(), 4)
    }
}

impl From<u64> for RowKey {
    fn from(key: u64) -> Self {
        Self::from_top(key.into(), 8)
    }
}

impl From<[u8; Self::MAX_LEN]> for RowKey {
    fn from(bytes: [u8; Self::MAX_LEN]) -> Self {
        let number = bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u128::from(*byte));
        Self {
            packed: (number << 8) | Self::MAX_LEN as u128,
        }
    }
}

impl From<(u32, u32)> for RowKey {
    fn from((high, low): (u32, u32)) -> Self {
        Self::from((u64::from(high) << 32) | u64::from(low))
    }
}

impl From<(u32, u32, u32)> for RowKey {
    fn from((high, middle, low): (u32, u32, u32)) -> Self {
        let number = (u128::from(high) << 64) | (u128::from(middle) << 32) | u128::from(low);
        Self::from_top(number, 12)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(")?;
        for byte in self.to_bytes().as_ref() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// The bytes of a [`RowKey`].
#[derive(Clone, Copy, Debug)]
pub struct KeyBytes {
    bytes: [u8; RowKey::MAX_LEN],
    len: usize,
}

impl AsRef<[u8]> for KeyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The number of the internal table that holds the store's own counters. It sorts first.
pub(super) const COUNTERS_NUMBER: u8 = 0;

/// A row's place among all rows of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u128);

impl Slot {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const LAST: Self = Self(u128::MAX);
    pub(super) const COUNTERS: Self = Self((COUNTERS_NUMBER as u128) << 104);

    pub(super) fn new(table: Table, key: RowKey) -> Self {
        Self::from_parts(table.number(), key)
    }

    pub(super) fn from_parts(table_number: u8, key: RowKey) -> Self {
        Self((u128::from(table_number) << 104) | key.packed)
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn table_number(self) -> u8 {
        self.0.to_be_bytes()[2]
    }

    pub(super) fn key(self) -> RowKey {
        RowKey {
            packed: self.0 & ((1 << 104) - 1),
        }
    }

    /// The slot right behind this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// From the first possible slot of a table to the first of the next.
    pub(super) fn range_of(table: Table) -> std::ops::Range<Self> {
        let number = u128::from(table.number());
        Self(number << 104)..Self((number + 1) << 104)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_numbers_are_frozen() {
        let numbers = Table::ALL.map(Table::number);
        assert_eq!(
            numbers,
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19
            ]
        );
        for table in Table::ALL {
            assert_eq!(Table::from_number(table.number()), Some(table));
        }
        assert_eq!(Table::from_number(COUNTERS_NUMBER), None);
        assert_eq!(Table::from_number(20), None);
    }

    #[test]
    fn keys_keep_their_bytes_and_sort_as_byte_strings() {
        let strings: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\0\0",
            b"\0\x01",
            b"a",
            b"ab",
            b"abcdefghijkl",
            b"b",
        ];
        for pair in strings.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|bytes| RowKey::from_bytes(bytes).unwrap());
            assert!(low < high, "{low:?} before {high:?}");
            assert_eq!(low.to_bytes().as_ref(), pair[0]);
        }
        assert_eq!(RowKey::from_bytes(&[0; 13]), Err(KeyTooLong(13)));
        assert_eq!(
            RowKey::from(*b"abcdefghijkl"),
            RowKey::from_bytes(b"abcdefghijkl").unwrap()
        );
    }

    #[test]
    fn number_keys_are_big_endian_and_come_back() {
        assert_eq!(
            RowKey::from(0x0102_0304_u32).to_bytes().as_ref(),
            [1, 2, 3, 4]
        );
        assert_eq!(
            RowKey::from((1, 2)).to_bytes().as_ref(),
            [0, 0, 0, 1, 0, 0, 0, 2]
        );
        assert_eq!(
            RowKey::from((1, 2, u32::MAX)).to_bytes().as_ref(),
            [0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 255]
        );
        assert_eq!(RowKey::from(7_u32).as_u32(), Some(7));
        assert_eq!(RowKey::from(7_u32).as_u64(), None);
        assert_eq!(RowKey::from((7, 9)).as_u32_pair(), Some((7, 9)));
        assert!(RowKey::from(255_u32) < RowKey::from(256_u32));
    }

    #[test]
    fn slots_sort_by_table_then_key_and_come_apart_again() {
        let slot = Slot::new(Table::Members, RowKey::from((u32::MAX, u32::MAX, u32::MAX)));
        assert_eq!(slot.table_number(), 3);
        assert_eq!(slot.key(), RowKey::from((u32::MAX, u32::MAX, u32::MAX)));
        assert!(slot < Slot::new(Table::Groups, RowKey::from(0_u32)));
        assert!(Slot::range_of(Table::Members).contains(&slot));
        assert!(!Slot::range_of(Table::Groups).contains(&slot));
        assert!(Slot::COUNTERS < Slot::range_of(Table::Robots).start);
    }
}
