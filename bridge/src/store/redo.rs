//! Redo frames: the after-images of one commit, cut into chunks.
//!
//! Invariant: a frame that is damaged, incomplete or out of its place never decodes; it is
//! reported as the [`RedoError`] that says which commit.

use super::error::RedoError;
use super::table::{RowKey, Slot};

/// The longest chunk value: with redb's own bytes around it, it fills a page of 32 KiB.
pub(super) const CHUNK_BYTES: usize = 32 * 1024 - 64;

/// Checksum, number of parts, length of the piece; 4 bytes each, big-endian.
const HEADER_BYTES: usize = 12;

/// The value length that stands for a deleted row.
const DELETED: u32 = u32::MAX;

/// Collects one commit's after-images; the buffer is kept from commit to commit.
#[derive(Debug, Default)]
pub(super) struct FrameWriter {
    body: Vec<u8>,
    chunk: Vec<u8>,
}

/// A row that is too long for a frame.
#[derive(Debug)]
pub(super) struct RowTooLong;

impl FrameWriter {
    pub(super) fn clear(&mut self) {
        self.body.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    pub(super) fn add(&mut self, slot: Slot, value: Option<&[u8]>) -> Result<(), RowTooLong> {
        let key = slot.key().to_bytes();
        let key = key.as_ref();
        let key_len = u8::try_from(key.len()).map_err(|_| RowTooLong)?;
        let value_len = match value.map(|value| u32::try_from(value.len())) {
            None => DELETED,
            Some(Ok(len)) if len < DELETED => len,
            Some(_) => return Err(RowTooLong),
        };
        self.body.push(slot.table_number());
        self.body.push(key_len);
        self.body.extend_from_slice(&value_len.to_be_bytes());
        self.body.extend_from_slice(key);
        self.body.extend_from_slice(value.unwrap_or_default());
        Ok(())
    }

    /// Hands each chunk of the frame to `store`, in order, with its part number.
    pub(super) fn for_each_chunk<E>(
        &mut self,
        commit: u64,
        mut store: impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let pieces = self.body.chunks(CHUNK_BYTES - HEADER_BYTES);
        let parts = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        for (part, piece) in (0..parts).zip(pieces) {
            let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            self.chunk.clear();
            self.chunk.extend_from_slice(&[0; 4]);
            self.chunk.extend_from_slice(&parts.to_be_bytes());
            self.chunk.extend_from_slice(&len.to_be_bytes());
            self.chunk.extend_from_slice(piece);
            let checksum = checksum(commit, part, &self.chunk[4..]);
            self.chunk[..4].copy_from_slice(&checksum.to_be_bytes());
            store(part, &self.chunk)?;
        }
        Ok(())
    }
}

/// Over the chunk's place too, so that a chunk under another's key is noticed.
fn checksum(commit: u64, part: u32, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&commit.to_be_bytes());
    hasher.update(&part.to_be_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// One chunk, checked.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub(super) parts: u32,
    pub(super) piece: &'a [u8],
}

pub(super) fn read_chunk(commit: u64, part: u32, value: &[u8]) -> Result<Chunk<'_>, RedoError> {
    let damaged = RedoError::Damaged { commit, part };
    let Some((sum, rest)) = value.split_first_chunk() else {
        return Err(damaged);
    };
    if u32::from_be_bytes(*sum) != checksum(commit, part, rest) {
        return Err(damaged);
    }
    let Some((parts, rest)) = rest.split_first_chunk() else {
        return Err(damaged);
    };
    let Some((len, piece)) = rest.split_first_chunk() else {
        return Err(damaged);
    };
    if usize::try_from(u32::from_be_bytes(*len)) != Ok(piece.len()) {
        return Err(damaged);
    }
    Ok(Chunk {
        parts: u32::from_be_bytes(*parts),
        piece,
    })
}

/// Calls `row` with every row of a whole frame body, first to last.
pub(super) fn for_each_row<'a>(
    commit: u64,
    mut body: &'a [u8],
    mut row: impl FnMut(Slot, Option<&'a [u8]>),
) -> Result<(), RedoError> {
    while !body.is_empty() {
        let (slot, value, rest) = split_row(body).ok_or(RedoError::Malformed { commit })?;
        row(slot, value);
        body = rest;
    }
    Ok(())
}

type SplitRow<'a> = (Slot, Option<&'a [u8]>, &'a [u8]);

fn split_row(body: &[u8]) -> Option<SplitRow<'_>> {
    let ([table, key_len], rest) = body.split_first_chunk()?;
    super::format::row_table(*table)?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
    let slot = Slot::from_parts(*table, RowKey::from_bytes(key).ok()?);
    match u32::from_be_bytes(*value_len) {
        DELETED => Some((slot, None, rest)),
        len => {
            let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((slot, Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;

    fn chunks_of(rows: &[(Slot, Option<Vec<u8>>)]) -> Vec<Vec<u8>> {
        let mut frame = FrameWriter::default();
        for (slot, value) in rows {
            frame.add(*slot, value.as_deref()).unwrap();
        }
        let mut chunks = Vec::new();
        let stored: Result<(), ()> = frame.for_each_chunk(7, |part, chunk| {
            assert_eq!(usize::try_from(part), Ok(chunks.len()));
            chunks.push(chunk.to_vec());
            Ok(())
        });
        stored.unwrap();
        chunks
    }

    fn rows() -> Vec<(Slot, Option<Vec<u8>>)> {
        (0_u32..400)
            .map(|number| {
                let slot = Slot::new(Table::Robots, RowKey::from(number));
                (
                    slot,
                    (number % 5 != 0).then(|| vec![1; 200 + number as usize]),
                )
            })
            .collect()
    }

    #[test]
    fn a_frame_longer_than_one_chunk_comes_back_whole() {
        let chunks = chunks_of(&rows());
        assert!(chunks.len() > 2);
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
        let mut body = Vec::new();
        for (part, chunk) in (0..).zip(&chunks) {
            let read = read_chunk(7, part, chunk).unwrap();
            assert_eq!(read.parts as usize, chunks.len());
            body.extend_from_slice(read.piece);
        }
        let mut back = Vec::new();
        for_each_row(7, &body, |slot, value| {
            back.push((slot, value.map(<[u8]>::to_vec)));
        })
        .unwrap();
        assert_eq!(back, rows());
    }

    #[test]
    fn the_bytes_of_a_chunk_are_frozen() {
        let rows = [
            (Slot::COUNTERS, Some(vec![0xAA])),
            (
                Slot::new(Table::Members, RowKey::from((1, 2))),
                Some(vec![0xBB, 0xCC]),
            ),
            (Slot::new(Table::Artifacts, RowKey::from(3_u32)), None),
        ];
        let expected: &[&[u8]] = &[
            // CRC-32 of commit 7, part 0 and all that follows.
            &[0x5D, 0x76, 0x15, 0x43],
            &[0, 0, 0, 1, 0, 0, 0, 33],
            &[0, 0, 0, 0, 0, 1, 0xAA],
            &[3, 8, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0xBB, 0xCC],
            &[8, 4, 255, 255, 255, 255, 0, 0, 0, 3],
        ];
        assert_eq!(chunks_of(&rows), [expected.concat()]);
    }

    #[test]
    fn every_changed_byte_and_every_missing_byte_of_a_chunk_is_noticed() {
        let chunk = chunks_of(&rows()[..3]).remove(0);
        for at in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[at] ^= 0x40;
            assert!(read_chunk(7, 0, &changed).is_err(), "byte {at} changed");
            assert!(read_chunk(7, 0, &chunk[..at]).is_err(), "cut at {at}");
        }
        assert!(read_chunk(8, 0, &chunk).is_err(), "another commit's place");
        assert!(read_chunk(7, 1, &chunk).is_err(), "another part's place");
    }

    #[test]
    fn a_body_that_ends_inside_a_row_or_names_no_table_is_malformed() {
        let mut frame = FrameWriter::default();
        let slot = Slot::new(Table::Groups, RowKey::from(1_u32));
        frame.add(slot, Some(b"value")).unwrap();
        let whole = frame.body.clone();
        for cut in 1..whole.len() {
            let read = for_each_row(7, &whole[..cut], |_, _| {});
            assert!(
                matches!(read, Err(RedoError::Malformed { commit: 7 })),
                "cut at {cut}"
            );
        }
        let mut unknown = whole;
        unknown[0] = 99;
        assert!(for_each_row(7, &unknown, |_, _| {}).is_err());
    }
}
