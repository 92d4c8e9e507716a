//! How much room the disk under the data directory still has.
//!
//! Intake must stop while there is room left: redb may fail to reopen a database whose last
//! writes hit a full disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something that knows how many bytes may still be written.
pub trait Space: Send + fmt::Debug {
    /// Bytes that this user may still write.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    fn available(&self) -> io::Result<u64>;
}

/// The file system that holds a path.
#[derive(Clone, Debug)]
pub struct DiskSpace {
    path: PathBuf,
}

impl DiskSpace {
    /// The file system that holds `path`, which must exist when it is asked.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.into() }
    }
}

impl Space for DiskSpace {
    fn available(&self) -> io::Result<u64> {
        available(&self.path)
    }
}

/// Bytes that this user may still write to the file system that holds `path`.
///
/// # Errors
/// When the file system cannot be asked, for one when `path` does not exist.
pub fn available(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    // Blocks are counted in fragments; what is reserved for root does not count.
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
