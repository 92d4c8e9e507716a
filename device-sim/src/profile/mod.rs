//! How simulated robots behave: the TOML profile, validated while it is read.
//!
//! `profiles/default.toml` is the documentation: every key with its meaning, unit and default. A key
//! that is not there keeps its default; an unknown key is an error that names it.

mod range;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use range::{BytesPerSecond, Millis, Percent, Range};

/// Behaviour of every robot of a simulation. Each robot draws its own values.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// How long things take.
    pub timing: Timing,
    /// How often a stage of an operation fails.
    pub failures: Failures,
    /// When the connection is away.
    pub link: Link,
    /// When the power is away.
    pub power: Power,
    /// What happens to messages.
    pub messages: Messages,
    /// How often a robot says what is not so.
    pub lies: Lies,
    /// What only Edgehog devices do.
    pub edgehog: Edgehog,
}

/// How long things take, in the robots' own time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From a request to the start of its download.
    pub acknowledge: Range<Millis>,
    /// Speed of a download.
    pub download_rate: Range<BytesPerSecond>,
    /// Writing an image.
    pub install: Range<Millis>,
    /// Restart of a secondary ECU into a new image.
    pub restart: Range<Millis>,
    /// Restart of the primary, and so of the robot.
    pub reboot: Range<Millis>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            acknowledge: Range::between(50, 500),
            download_rate: Range::between(200_000, 2_000_000),
            install: Range::between(10_000, 40_000),
            restart: Range::between(2_000, 8_000),
            reboot: Range::between(20_000, 60_000),
        }
    }
}

/// How often a stage of an operation fails, in percent of the operations that reach it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Failures {
    /// Refused by the robot's policy.
    pub refuse: Percent,
    /// Refused for now.
    pub busy: Percent,
    /// The download breaks, at every try.
    pub download: Percent,
    /// The downloaded bytes are not the announced ones.
    pub digest: Percent,
    /// Writing the image fails.
    pub install: Percent,
    /// The new image does not start and the robot goes back.
    pub rollback: Percent,
}

/// When the connection is away.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// Robots that connect only after `offline_for`.
    pub offline_at_start: Percent,
    /// Time between two offline episodes of a robot; absent for none.
    pub offline_every: Option<Range<Millis>>,
    /// Length of an offline episode.
    pub offline_for: Range<Millis>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            offline_at_start: Percent::NEVER,
            offline_every: None,
            offline_for: Range::between(10_000, 60_000),
        }
    }
}

/// When the power is away.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Power {
    /// Time between two unexpected restarts of a robot; absent for none.
    pub loss_every: Option<Range<Millis>>,
}

/// What happens to messages of native robots.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Robots that ask for the application's acknowledgement.
    pub wants_ack: Percent,
    /// Final events that are never sent.
    pub lose_final: Percent,
    /// Events that are sent twice.
    pub duplicate: Percent,
    /// Events that are sent after their successor.
    pub reorder: Percent,
}

/// How often a robot says what is not so, in percent of the operations.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Lies {
    /// Claims Success without having installed anything.
    pub claim_success: Percent,
    /// Names the operation in its `BaseImage`, with another version.
    pub wrong_version: Percent,
    /// Reports progress that goes back.
    pub backward_progress: Percent,
    /// Sends an event of an operation that nobody asked for.
    pub unknown_operation: Percent,
}

/// What only Edgehog devices do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edgehog {
    /// Final events after a reboot that are sent once the link is up; the others are lost, as they
    /// mostly are in the field.
    pub late_success: Percent,
    /// Starts of the runtime whose SystemStatus is sent before the link is up, and so lost.
    pub status_lost: Percent,
    /// Reconnects before which the Wi-Fi adaptor was taken out or put in again.
    pub adapter_changes: Percent,
    /// SystemInfo's part number; absent for the hardware id of the ECU.
    pub part_number: Option<String>,
    /// Whether RAUC is given the url, so that there is no download before the deployment.
    pub streaming: bool,
    /// Who reboots into the new image.
    pub reboot: Reboot,
    /// From the announced reboot to that of somebody else.
    pub external_reboot: Range<Millis>,
}

/// Who reboots an Edgehog device into its new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Reboot {
    /// The runtime.
    #[default]
    Default,
    /// Something else, when it is safe.
    External,
}

impl Default for Edgehog {
    fn default() -> Self {
        Self {
            late_success: Percent::new(10.0).unwrap_or_default(),
            status_lost: Percent::new(10.0).unwrap_or_default(),
            adapter_changes: Percent::NEVER,
            part_number: None,
            streaming: false,
            reboot: Reboot::Default,
            external_reboot: Range::between(60_000, 600_000),
        }
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("read profile {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a profile.
    #[error("profile {path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
}

impl Profile {
    /// Reads a profile file.
    ///
    /// # Errors
    /// The file cannot be read, or says something that a profile cannot say.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| ProfileError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a profile's text.
    ///
    /// # Errors
    /// The text says something that a profile cannot say; the error has line and column.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The same behaviour with a share of operations that fail, spread evenly over download,
    /// digest, installation and rollback.
    #[must_use]
    pub fn failing(mut self, percent: Percent) -> Self {
        let quarter = Percent::new(percent.get() / 4.0).unwrap_or_default();
        let Failures {
            download,
            digest,
            install,
            rollback,
            ..
        } = &mut self.failures;
        [*download, *digest, *install, *rollback] = [quarter; 4];
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_default_profile_states_the_defaults() {
        let shipped = Profile::parse(include_str!("../../profiles/default.toml")).unwrap();
        assert_eq!(shipped, Profile::default());
    }

    #[test]
    fn every_shipped_profile_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert!(files.len() >= 3);
        for file in files {
            Profile::load(&file).unwrap();
        }
    }

    #[test]
    fn values_out_of_range_are_refused_with_their_place() {
        for (text, hint) in [
            ("[failures]\ninstall = 101", "not within 0 to 100"),
            ("[failures]\ninstall = -1", "not within 0 to 100"),
            ("[failures]\nexplode = 1", "unknown field `explode`"),
            ("[timing]\ninstall = [\"9s\", \"3s\"]", "above the second"),
            ("[timing]\ninstall = \"soon\"", "a duration such as"),
            ("[timing]\ninstall = 3", "a duration such as"),
            ("[timing]\ninstall = [\"1s\"]", "a duration such as"),
            ("[timing]\ndownload_rate = 0", "above 0"),
            ("[timing]\ndownload_rate = [1, 2, 3]", "bytes per second"),
        ] {
            let error = Profile::parse(text).unwrap_err().to_string();
            assert!(
                error.contains(hint) && error.contains("line 2"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn failing_spreads_the_share_over_four_stages() {
        let failing = Profile::default().failing(Percent::new(8.0).unwrap());
        assert_eq!(failing.failures.rollback, Percent::new(2.0).unwrap());
        assert_eq!(failing.failures.refuse, Percent::NEVER);
    }
}
