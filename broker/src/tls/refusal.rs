//! Why a handshake failed, as something to count.

use crate::metrics::Count;
use rustls::{CertificateError, Error, InvalidMessage};

/// What counts a handshake that failed with this error.
pub(crate) fn count_refusal(error: &Error) -> Count {
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Count::TlsNotSpoken,
        Error::NoCertificatesPresented => Count::TlsCertificateMissing,
        Error::InvalidCertificate(reason) => count_certificate(reason),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Count::TlsIncompatible,
        Error::AlertReceived(_) => Count::TlsRefusedByClient,
        _ => Count::TlsMalformed,
    }
}

fn count_certificate(reason: &CertificateError) -> Count {
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Count::TlsCertificateExpired,
        CertificateError::UnknownIssuer => Count::TlsCertificateUnknownIssuer,
        _ => Count::TlsCertificateInvalid,
    }
}
