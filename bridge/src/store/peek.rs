//! A file that can be opened as a database without changing a byte of it.
//!
//! redb marks a file as open, and repairs one that was never closed, before anybody can read
//! from it. Here whatever it writes stays in memory and is forgotten.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const BLOCK_BYTES: usize = 4096;

/// The file under a layer of writes that never reach it.
#[derive(Debug)]
pub(super) struct Peek {
    file: File,
    layer: Mutex<Layer>,
}

#[derive(Debug)]
struct Layer {
    len: u64,
    /// How much of the file still shows: what a shortening cut off comes back as zeros.
    file_len: u64,
    /// Written blocks by number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Peek {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let layer = Mutex::new(Layer {
            len,
            file_len: len,
            blocks: BTreeMap::new(),
        });
        Ok(Self { file, layer })
    }

    fn layer(&self) -> MutexGuard<'_, Layer> {
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One block as the file has it, zeros behind its end.
    fn file_block(&self, number: u64, file_len: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES];
        let start = number * BLOCK_BYTES as u64;
        let there = file_len.saturating_sub(start).min(BLOCK_BYTES as u64);
        let there = usize::try_from(there).map_err(io::Error::other)?;
        self.file.read_exact_at(&mut block[..there], start)?;
        Ok(block)
    }
}

/// Cuts a range of bytes at the ends of blocks: (block, start in it, length).
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        let start = at % BLOCK_BYTES as u64;
        let piece = (BLOCK_BYTES as u64 - start).min(end - at);
        let number = at / BLOCK_BYTES as u64;
        at += piece;
        // Both are at most the length of a block.
        let piece = usize::try_from(piece).ok().filter(|piece| *piece > 0)?;
        Some((number, usize::try_from(start).ok()?, piece))
    })
}

impl StorageBackend for Peek {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layer = self.layer();
        if offset.saturating_add(out.len() as u64) > layer.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, start, len) in blocks(offset, rest.len()) {
            let (piece, behind) = rest.split_at_mut(len);
            rest = behind;
            match layer.blocks.get(&number) {
                Some(block) => piece.copy_from_slice(&block[start..start + len]),
                None => {
                    let block = self.file_block(number, layer.file_len)?;
                    piece.copy_from_slice(&block[start..start + len]);
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut layer = self.layer();
        layer.len = len;
        layer.file_len = layer.file_len.min(len);
        layer.blocks.split_off(&len.div_ceil(BLOCK_BYTES as u64));
        let cut = usize::try_from(len % BLOCK_BYTES as u64).map_err(io::Error::other)?;
        if let Some(block) = layer.blocks.get_mut(&(len / BLOCK_BYTES as u64)) {
            block[cut..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut layer = self.layer();
        let file_len = layer.file_len;
        layer.len = layer.len.max(offset + data.len() as u64);
        let mut rest = data;
        for (number, start, len) in blocks(offset, data.len()) {
            let (piece, behind) = rest.split_at(len);
            rest = behind;
            let block = match layer.blocks.remove(&number) {
                Some(block) => block,
                None => self.file_block(number, file_len)?,
            };
            let block = layer.blocks.entry(number).or_insert(block);
            block[start..start + len].copy_from_slice(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn writes_are_read_back_and_never_reach_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let peek = Peek::new(file.reopen().unwrap()).unwrap();
        let mut expected = content.clone();
        for (offset, len) in [(0, 9), (4_000, 200), (9_990, 5_000), (8_192, 4_096)] {
            let end = expected.len().max(offset + len);
            expected.resize(end, 0);
            expected[offset..offset + len].fill(7);
            peek.write(offset as u64, &vec![7; len]).unwrap();
        }
        let mut found = vec![0; expected.len()];
        assert_eq!(peek.len().unwrap(), expected.len() as u64);
        peek.read(0, &mut found).unwrap();
        assert_eq!(found, expected);
        assert!(peek.read(1, &mut found).is_err(), "one byte behind the end");
        assert_eq!(std::fs::read(file.path()).unwrap(), content);
    }

    #[test]
    fn what_a_shortening_cut_off_comes_back_as_zeros() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[9; 20_000]).unwrap();
        let peek = Peek::new(file.reopen().unwrap()).unwrap();
        peek.write(12_288, &[8; 100]).unwrap();
        peek.write(8_000, &[8; 1_000]).unwrap();
        peek.set_len(8_100).unwrap();
        peek.set_len(20_000).unwrap();
        let mut found = vec![1; 20_000];
        peek.read(0, &mut found).unwrap();
        assert!(found[..8_000].iter().all(|byte| *byte == 9));
        assert!(found[8_000..8_100].iter().all(|byte| *byte == 8));
        assert!(found[8_100..].iter().all(|byte| *byte == 0));
    }
}
