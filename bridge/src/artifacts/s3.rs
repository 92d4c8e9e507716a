//! Buckets that speak S3. Robots never see them: downloads stream through the device HTTP listener.

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::Deserialize;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time to open a connection to the bucket.
const CONNECT: Duration = Duration::from_secs(5);
/// Tries after the first; an operator waits meanwhile, or a robot.
const RETRIES: usize = 3;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// Its region; what the environment says, or `us-east-1`, if not given.
    pub region: Option<String>,
    /// Where the service is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// What the names of our objects begin with; no other server may use the same in the same bucket.
    pub prefix: String,
    /// A file with the credentials; the environment (`AWS_ACCESS_KEY_ID` and its like) or the machine's role if not
    /// given.
    pub credentials_file: Option<PathBuf>,
    /// A bucket that says nothing for so long is given up.
    pub timeout: Duration,
}

/// Why a bucket cannot be used. Never has a secret in it.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The credentials cannot be read.
    #[error("credentials file {} cannot be read; check artifacts.s3.credentials_file", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read the credentials.
    #[error("credentials file {} can be read by others; run `chmod 600` on it", .path.display())]
    Open {
        /// Which file.
        path: PathBuf,
    },
    /// The credentials make no sense.
    #[error(
        "credentials file {} is not valid; write access_key_id = \"...\" and secret_access_key = \"...\"", .path.display()
    )]
    Content {
        /// Which file.
        path: PathBuf,
    },
    /// The settings make no sense together.
    #[error("bucket {bucket} cannot be used; check [artifacts.s3]")]
    Settings {
        /// Which bucket.
        bucket: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

fn credentials(path: &Path) -> Result<Credentials, S3Error> {
    let path = path.to_owned();
    let read = || {
        let mode = std::fs::metadata(&path)?.permissions().mode();
        Ok((mode, std::fs::read_to_string(&path)?))
    };
    let (mode, text) = read().map_err(|source| S3Error::Read {
        path: path.clone(),
        source,
    })?;
    if mode & 0o077 != 0 {
        return Err(S3Error::Open { path });
    }
    // The reader's own message would show a part of the file.
    toml::from_str(&text).map_err(|_| S3Error::Content { path })
}

pub(super) fn open(settings: &S3Settings) -> Result<AmazonS3, S3Error> {
    // Several providers may be compiled in, and then reqwest cannot choose. Whoever was first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let S3Settings {
        bucket,
        region,
        endpoint,
        timeout,
        ..
    } = settings;
    let options = ClientOptions::new()
        // A whole download may take hours; silence is what counts.
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT.min(*timeout))
        .with_read_timeout(*timeout);
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        retry_timeout: *timeout,
    };
    let mut builder = match &settings.credentials_file {
        None => AmazonS3Builder::from_env(),
        Some(path) => {
            let found = credentials(path)?;
            let builder = AmazonS3Builder::new()
                .with_access_key_id(found.access_key_id)
                .with_secret_access_key(found.secret_access_key);
            match found.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
    };
    builder = builder
        .with_bucket_name(bucket)
        // Not every service that speaks S3 has these, and one object at a time needs neither.
        .with_disable_bulk_delete(true)
        .with_disable_tagging(true)
        .with_retry(retry)
        .with_client_options(options);
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    }
    builder.build().map_err(|source| S3Error::Settings {
        bucket: bucket.clone(),
        source,
    })
}
