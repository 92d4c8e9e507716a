//! The section `[artifacts]`: where uploaded files are kept, and how robots get them.

use super::Error;
use super::check::Check;
use super::size;
use crate::artifacts::{MAX_DOWNLOADS, S3Settings, Settings, StartCheck, StorageSettings};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// A slower pace would let robots believe that the server is gone.
const LEAST_BANDWIDTH: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ArtifactsFile {
    storage: Storage,
    max_downloads: usize,
    #[serde(with = "humantime_serde")]
    download_wait: Duration,
    #[serde(deserialize_with = "size::deserialize")]
    max_bandwidth: u64,
    #[serde(with = "humantime_serde")]
    stall_timeout: Duration,
    check: StartChecks,
    #[serde(deserialize_with = "size::deserialize")]
    check_bandwidth: u64,
    s3: Option<S3File>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Storage {
    Local,
    S3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StartChecks {
    Sha256,
    Size,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct S3File {
    bucket: String,
    region: Option<String>,
    endpoint: Option<String>,
    allow_remote_plain: bool,
    prefix: String,
    credentials_file: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
}

impl Default for ArtifactsFile {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            storage: Storage::Local,
            max_downloads: settings.max_downloads,
            download_wait: settings.download_wait,
            max_bandwidth: 0,
            stall_timeout: settings.stall,
            check: StartChecks::Sha256,
            check_bandwidth: 64 << 20,
            s3: None,
        }
    }
}

impl Default for S3File {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: None,
            endpoint: None,
            allow_remote_plain: false,
            prefix: "rollcall".to_owned(),
            credentials_file: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A rate in bytes per second, of which 0 is none.
fn rate(check: &Check<'_>, key: &'static str, value: u64) -> Result<Option<u64>, Error> {
    if value != 0 && value < LEAST_BANDWIDTH {
        return Err(check.error(
            key,
            value,
            "use at least 64 KiB, or 0 for as fast as it goes",
        ));
    }
    Ok(Some(value).filter(|value| *value > 0))
}

fn downloads(check: &Check<'_>, value: usize) -> Result<usize, Error> {
    let key = "artifacts.max_downloads";
    if value > MAX_DOWNLOADS {
        let remedy = format!(
            "use at most {MAX_DOWNLOADS}, so that robots find a connection to pair; those beyond it wait for their turn"
        );
        return Err(check.error(key, value, remedy));
    }
    check.at_least_one(key, value)
}

impl ArtifactsFile {
    /// What is said elsewhere, of uploads, stays at its default.
    pub(super) fn check(self, check: &Check<'_>) -> Result<Settings, Error> {
        let storage = match (self.storage, self.s3) {
            (Storage::Local, None) => StorageSettings::Local,
            (Storage::Local, Some(s3)) => {
                return Err(check.error(
                    "artifacts.s3.bucket",
                    format!("{:?}", s3.bucket),
                    "the bucket is not used; write storage = \"s3\" in [artifacts], or leave [artifacts.s3] out",
                ));
            }
            (Storage::S3, s3) => StorageSettings::S3(s3.unwrap_or_default().check(check)?),
        };
        let check_bandwidth = "artifacts.check_bandwidth";
        Ok(Settings {
            storage,
            max_downloads: downloads(check, self.max_downloads)?,
            download_wait: check.span("artifacts.download_wait", self.download_wait, DAY)?,
            max_bandwidth: rate(check, "artifacts.max_bandwidth", self.max_bandwidth)?,
            stall: check.span("artifacts.stall_timeout", self.stall_timeout, DAY)?,
            check: match self.check {
                StartChecks::Size => StartCheck::Size,
                StartChecks::Sha256 => StartCheck::Digest {
                    bytes_per_second: rate(check, check_bandwidth, self.check_bandwidth)?,
                },
            },
            ..Settings::default()
        })
    }
}

impl S3File {
    fn check(self, check: &Check<'_>) -> Result<S3Settings, Error> {
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.chars().all(name) {
            return Err(check.error(
                "artifacts.s3.bucket",
                format!("{:?}", self.bucket),
                "write the bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens",
            ));
        }
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if self.prefix.len() > 256 || !self.prefix.split('/').all(part) {
            return Err(check.error(
                "artifacts.s3.prefix",
                format!("{:?}", self.prefix),
                "use letters, digits, '-' and '_', with '/' in between; another prefix for each server",
            ));
        }
        let endpoint = check.url("artifacts.s3.endpoint", self.endpoint)?;
        if let Some(plain) = endpoint.as_ref().filter(|url| url.starts_with("http://"))
            && !self.allow_remote_plain
            && !is_loopback(plain)
        {
            return Err(check.error(
                "artifacts.s3.endpoint",
                plain,
                "files would travel unencrypted; use https://, or write allow_remote_plain = true in [artifacts.s3]",
            ));
        }
        Ok(S3Settings {
            bucket: self.bucket,
            region: self.region,
            endpoint,
            prefix: self.prefix,
            credentials_file: self.credentials_file,
            timeout: check.span("artifacts.s3.timeout", self.timeout, DAY)?,
        })
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    let address = host
        .parse()
        .map(|address: std::net::SocketAddr| address.ip());
    address
        .or_else(|_| host.parse())
        .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        || host == "localhost"
        || host.starts_with("localhost:")
}
