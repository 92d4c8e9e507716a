//! Robots' credentials and pairing tokens.

use super::inventory::name;
use super::{RecordError, digest, number};
use crate::store::RowKey;
use prost::Message;
use rollcall_engine::{
    Certificate, Credentials, PairingToken, Registration, Timestamp, TokenKey, TokenName,
};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StoredCredentials {
    #[prost(uint64, tag = "1")]
    since: u64,
    #[prost(uint32, tag = "2")]
    generation: u32,
    #[prost(message, optional, tag = "3")]
    certificate: Option<StoredCertificate>,
    #[prost(uint64, optional, tag = "4")]
    inhibited: Option<u64>,
    /// The token that it has registered with; an operator's secret has [`CLOSED`] instead.
    #[prost(uint32, optional, tag = "5")]
    registered_with: Option<u32>,
}

/// No token's number: those begin at 1.
const CLOSED: u32 = 0;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCertificate {
    #[prost(bytes = "vec", tag = "1")]
    serial: Vec<u8>,
    #[prost(uint64, tag = "2")]
    issued: u64,
    #[prost(uint64, tag = "3")]
    not_after: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredToken {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(uint64, tag = "3")]
    created: u64,
    #[prost(uint64, optional, tag = "4")]
    expires: Option<u64>,
    #[prost(uint32, optional, tag = "5")]
    uses: Option<u32>,
    #[prost(uint32, tag = "6")]
    used: u32,
}

pub(super) fn encode(credentials: &Credentials) -> StoredCredentials {
    let Credentials {
        since,
        generation,
        certificate,
        inhibited,
        registration,
    } = credentials;
    StoredCredentials {
        since: since.0,
        generation: *generation,
        certificate: certificate.map(|certificate| StoredCertificate {
            serial: certificate.serial.to_vec(),
            issued: certificate.issued.0,
            not_after: certificate.not_after.0,
        }),
        inhibited: inhibited.map(|at| at.0),
        registered_with: match registration {
            Registration::Open => None,
            Registration::Made(token) => Some(token.0),
            Registration::Closed => Some(CLOSED),
        },
    }
}

/// Robots of schema 1 have none: their secret is as old as their registration.
pub(super) fn decode(
    stored: Option<StoredCredentials>,
    registered: Timestamp,
) -> Result<Credentials, RecordError> {
    let Some(stored) = stored else {
        return Ok(Credentials {
            since: registered,
            ..Credentials::default()
        });
    };
    let certificate = stored.certificate.map(|certificate| {
        let serial = certificate.serial.try_into();
        Ok::<_, RecordError>(Certificate {
            serial: serial.map_err(|_| RecordError::Invalid("serial number"))?,
            issued: Timestamp(certificate.issued),
            not_after: Timestamp(certificate.not_after),
        })
    });
    Ok(Credentials {
        since: Timestamp(stored.since),
        generation: stored.generation,
        certificate: certificate.transpose()?,
        inhibited: stored.inhibited.map(Timestamp),
        registration: match stored.registered_with {
            None => Registration::Open,
            Some(CLOSED) => Registration::Closed,
            Some(token) => Registration::Made(TokenKey(token)),
        },
    })
}

pub(super) fn encode_token(token: &PairingToken) -> Vec<u8> {
    StoredToken {
        name: token.name.to_string(),
        digest: token.digest.to_vec(),
        created: token.created.0,
        expires: token.expires.map(|at| at.0),
        uses: token.uses,
        used: token.used,
    }
    .encode_to_vec()
}

pub(super) fn decode_token(key: RowKey, bytes: &[u8]) -> Result<PairingToken, RecordError> {
    let stored = StoredToken::decode(bytes)?;
    Ok(PairingToken {
        key: TokenKey(number(key)?),
        name: name(&stored.name, "token name", TokenName::new)?,
        digest: digest(&stored.digest, "digest")?,
        created: Timestamp(stored.created),
        expires: stored.expires.map(Timestamp),
        uses: stored.uses,
        used: stored.used,
    })
}
