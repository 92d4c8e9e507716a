//! One process per data directory.
//!
//! redb locks its own file, but says not who holds it. This lock is taken first and names the
//! holder. The kernel drops it with the process, so a kill leaves nothing to clean up.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::format::LOCK_FILE;

/// Why the lock was not given.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another process has it, the one with this id if that could be read.
    Held(Option<u32>),
    Io(io::Error),
}

/// The held lock; dropping it gives it back.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, Refused> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(LOCK_FILE))
            .map_err(Refused::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Refused::Held(holder(&mut file))),
            Err(error) => return Err(Refused::Io(error.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Refused::Io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    // A process id and a line end; more than that is not ours.
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
