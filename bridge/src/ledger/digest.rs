//! The digests that the ledger knows.

use rollcall_engine::ChecksumType;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_384, Sha3_512};

/// One of them, on its way over a file.
#[derive(Clone)]
pub(super) enum Digester {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Sha3With256(Sha3_256),
    Sha3With384(Sha3_384),
    Sha3With512(Sha3_512),
}

impl Digester {
    pub(super) fn new(kind: ChecksumType) -> Self {
        match kind {
            ChecksumType::Sha256 => Self::Sha256(Digest::new()),
            ChecksumType::Sha384 => Self::Sha384(Digest::new()),
            ChecksumType::Sha512 => Self::Sha512(Digest::new()),
            ChecksumType::Sha3With256 => Self::Sha3With256(Digest::new()),
            ChecksumType::Sha3With384 => Self::Sha3With384(Digest::new()),
            ChecksumType::Sha3With512 => Self::Sha3With512(Digest::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
            Self::Sha3With256(hash) => hash.update(bytes),
            Self::Sha3With384(hash) => hash.update(bytes),
            Self::Sha3With512(hash) => hash.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Sha384(hash) => hash.finalize().to_vec(),
            Self::Sha512(hash) => hash.finalize().to_vec(),
            Self::Sha3With256(hash) => hash.finalize().to_vec(),
            Self::Sha3With384(hash) => hash.finalize().to_vec(),
            Self::Sha3With512(hash) => hash.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// FIPS 180-4 and FIPS 202, of `abc`, the first eight bytes.
    #[test]
    fn every_digest_is_the_one_that_its_name_says() {
        for (kind, begins) in [
            (ChecksumType::Sha256, "ba7816bf8f01cfea"),
            (ChecksumType::Sha384, "cb00753f45a35e8b"),
            (ChecksumType::Sha512, "ddaf35a193617aba"),
            (ChecksumType::Sha3With256, "3a985da74fe225b2"),
            (ChecksumType::Sha3With384, "ec01498288516fc9"),
            (ChecksumType::Sha3With512, "b751850b1a57168a"),
        ] {
            let mut digester = Digester::new(kind);
            digester.update(b"a");
            digester.update(b"bc");
            let found = digester.finish();
            assert_eq!(found.len(), kind.bytes());
            assert_eq!(hex::encode(&found[..8]), begins, "{kind}");
        }
    }
}
