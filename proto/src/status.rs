//! The vocabulary of an operation's progress, shared by both codecs. The words are Edgehog's.

use std::fmt;
use std::str::FromStr;

/// A word that is not in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("word not known")]
pub struct UnknownWord;

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }
    };
}

vocabulary! {
    /// Where an operation stands, in the order in which it gets there.
    Status {
        /// The robot accepted the request.
        Acknowledged = "Acknowledged",
        /// The artifact is being fetched.
        Downloading = "Downloading",
        /// The artifact is being written.
        Deploying = "Deploying",
        /// The artifact is written.
        Deployed = "Deployed",
        /// The ECU restarts.
        Rebooting = "Rebooting",
        /// The image runs. Final.
        Success = "Success",
        /// A failure that the robot itself will try to overcome. Not final.
        Error = "Error",
        /// The operation has failed. Final.
        Failure = "Failure",
    }
}

vocabulary! {
    /// Why an operation failed. The first eight are Edgehog's, the others only native robots send.
    Code {
        /// The request cannot be understood.
        InvalidRequest = "InvalidRequest",
        /// Another operation is running.
        UpdateAlreadyInProgress = "UpdateAlreadyInProgress",
        /// The artifact could not be fetched.
        NetworkError = "NetworkError",
        /// The artifact could not be stored.
        IoError = "IOError",
        /// A defect of the robot's software.
        InternalError = "InternalError",
        /// The artifact is not an image for this robot.
        InvalidBaseImage = "InvalidBaseImage",
        /// The ECU went back to its former image.
        SystemRollback = "SystemRollback",
        /// Ended by a Cancel.
        Canceled = "Canceled",
        /// The request's hardware id is not the ECU's.
        IncompatibleHardware = "IncompatibleHardware",
        /// The installed version is not the one the request expects.
        UnexpectedVersion = "UnexpectedVersion",
        /// The artifact's size or SHA-256 is not the request's.
        DigestMismatch = "DigestMismatch",
        /// The robot's policy forbids the update; trying again does not help.
        Refused = "Refused",
        /// The robot cannot update now; trying later helps.
        Busy = "Busy",
        /// Not enough room for the artifact.
        StorageFull = "StorageFull",
    }
}

impl Status {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

impl Code {
    /// Whether the word belongs to Edgehog's `OTAEvent` interface.
    #[must_use]
    pub fn is_edgehog(self) -> bool {
        self <= Self::Canceled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_back() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("success".parse::<Status>(), Err(UnknownWord));
        assert_eq!("".parse::<Code>(), Err(UnknownWord));
    }

    #[test]
    fn edgehogs_codes_are_exactly_the_published_eight() {
        let words: Vec<_> = Code::ALL
            .iter()
            .filter(|code| code.is_edgehog())
            .map(|code| code.as_str())
            .collect();
        assert_eq!(
            words,
            [
                "InvalidRequest",
                "UpdateAlreadyInProgress",
                "NetworkError",
                "IOError",
                "InternalError",
                "InvalidBaseImage",
                "SystemRollback",
                "Canceled"
            ]
        );
    }
}
