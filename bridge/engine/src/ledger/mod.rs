//! The ledger as a source of releases: which versions of a product it records, and which of them may be offered to whom.
//!
//! The shell reads the ledger and fetches files; here is what it found, kept apart for each channel. What a ledger said
//! once and never may change is held against it ([`LedgerFault::Changed`]): a node that lies changes nothing here.

mod applies;
mod record;
mod source;
mod versions;

pub use record::{ChecksumType, LedgerFault, LedgerFile, LedgerRecord};
pub use source::{LedgerOrigin, LedgerReading, LedgerSource, Product, Source};
pub use versions::{LedgerImage, LedgerVersion, MAX_VERSIONS, StoredFile, Withdrawn};

pub(crate) use versions::Catalogue;
