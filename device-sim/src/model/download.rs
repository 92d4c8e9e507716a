//! The first half of an operation: getting the artifact and checking it.
//!
//! The fetch is the driver's and takes as long as it takes; the transfer afterwards passes in the
//! robot's own time, at the profile's rate. A download that breaks is tried again a few times.

use rollcall_proto::{Code, Status};

use super::fate::{Fault, Lie};
use super::update::{Span, Stage};
use super::{Artifact, FetchError, FetchId, Output, Protocol, Robot};

/// First wait before a broken download is tried again, in milliseconds; doubles with each try.
const RETRY_FIRST: u64 = 2_000;

impl Robot {
    /// Whether RAUC is given the url, instead of a file.
    pub(super) fn streams(&self) -> bool {
        self.protocol == Protocol::Edgehog && self.profile.edgehog.streaming
    }

    pub(super) fn fetch(&mut self) {
        let streams = self.streams();
        let Some(job) = self.job.as_mut() else { return };
        self.last_id += 1;
        let fetch = FetchId(self.last_id);
        // An Edgehog device begins every download at zero; a native robot goes on where it was.
        if self.protocol == Protocol::Edgehog {
            job.reported = 0;
        }
        job.stage = if streams {
            Stage::Streaming(fetch)
        } else {
            Stage::Fetching(fetch)
        };
        let (operation, url) = (job.operation, job.order.url.clone());
        self.outputs.push_back(Output::Fetch {
            fetch,
            operation,
            url,
        });
    }

    pub(super) fn abandon_fetch(&mut self) {
        let stage = self.job.as_ref().map(|job| job.stage);
        if let Some(Stage::Fetching(fetch) | Stage::Streaming(fetch)) = stage {
            self.outputs.push_back(Output::AbandonFetch(fetch));
        }
    }

    /// [`super::Input::Fetched`].
    pub(super) fn fetched(&mut self, fetch: FetchId, result: Result<Artifact, FetchError>) {
        let Some(job) = self.job.as_mut() else { return };
        if job.stage == Stage::Streaming(fetch) {
            return self.streamed(result);
        }
        if job.stage != Stage::Fetching(fetch) {
            return;
        }
        match result {
            Ok(artifact) => {
                let rate = self.profile.timing.download_rate.draw(&mut self.rng);
                let duration = artifact.size.saturating_mul(1000) / rate.max(1);
                job.artifact = Some(artifact);
                let mut span = Span {
                    started: self.now,
                    duration,
                    percent: 0,
                };
                let at = span.next(self.protocol_limits().0);
                self.set_stage(Stage::Transferring(span), at);
            }
            Err(error) => self.download_broke(&error.to_string()),
        }
    }

    /// RAUC has read the bundle, or could not.
    fn streamed(&mut self, result: Result<Artifact, FetchError>) {
        let Some(job) = self.job.as_mut() else { return };
        job.artifact = result.ok();
        let came = job.artifact.is_some() && job.fate.fault != Fault::Download;
        if came && self.verify_artifact().is_ok() {
            self.deploy_from_start();
        } else {
            self.fail(Code::InvalidBaseImage, "Update failed with signal 1");
        }
    }

    /// The wait after a broken download is over.
    pub(super) fn fetch_again(&mut self) {
        let tries = self.protocol_limits().1;
        if self.job.as_ref().is_some_and(|job| job.broken < tries) {
            return self.fetch();
        }
        let message = "Too many attempts to download the OTA file";
        self.fail(Code::InternalError, message);
    }

    fn download_broke(&mut self, reason: &str) {
        let tries = self.protocol_limits().1;
        let Some(job) = self.job.as_mut() else { return };
        job.broken += 1;
        let broken = job.broken;
        let wait = RETRY_FIRST << (broken - 1).min(8);
        match (self.protocol, broken < tries) {
            (Protocol::Native, false) => self.fail(Code::NetworkError, reason),
            // An Edgehog device waits after its last attempt too, and gives up then.
            _ => {
                self.tell((Status::Error, 0), Some(Code::NetworkError), reason);
                self.set_stage(Stage::RetryWait, self.now.saturating_add(wait));
            }
        }
    }

    pub(super) fn transfer(&mut self, mut span: Span) {
        let Some(job) = self.job.as_mut() else { return };
        let (percent, fate) = (span.percent, job.fate);
        if fate.fault == Fault::Download && percent >= 50 {
            return self.download_broke("connection reset");
        }
        // After an interruption the robot goes on where it was.
        if percent > job.reported {
            job.reported = percent;
            let backward = fate.lie == Lie::BackwardProgress && (60..100).contains(&percent);
            let told = if backward { percent - 40 } else { percent };
            self.tell((Status::Downloading, told), None, "");
        }
        if percent < 100 {
            let at = span.next(self.protocol_limits().0);
            return self.set_stage(Stage::Transferring(span), at);
        }
        match self.verify_artifact() {
            Ok(()) => self.begin_deploying(),
            Err((code, message)) => self.fail(code, message),
        }
    }

    /// Checks what was downloaded against what was ordered.
    fn verify_artifact(&mut self) -> Result<(), (Code, &'static str)> {
        let Some(job) = self.job.as_mut() else {
            return Ok(());
        };
        let Some(artifact) = &job.artifact else {
            return Ok(());
        };
        let corrupt = job.fate.fault == Fault::Digest;
        match self.protocol {
            Protocol::Native => {
                if job.order.size != Some(artifact.size) {
                    Err((Code::DigestMismatch, "size differs"))
                } else if corrupt || job.order.sha256 != Some(artifact.sha256) {
                    Err((Code::DigestMismatch, "sha-256 differs"))
                } else {
                    Ok(())
                }
            }
            Protocol::Edgehog => match (&artifact.label, corrupt) {
                (Some(label), false) => {
                    job.order.name.clone_from(&label.name);
                    job.order.version.clone_from(&label.version);
                    Ok(())
                }
                (Some(_), true) => {
                    let message = "bundle other is not compatible with system this";
                    Err((Code::InvalidBaseImage, message))
                }
                // Whatever came is taken for a bundle, the body of a 404 too.
                (None, _) => {
                    let message = "Unable to get info from ota_file in /var/tmp/update.bin";
                    Err((Code::InvalidBaseImage, message))
                }
            },
        }
    }
}
