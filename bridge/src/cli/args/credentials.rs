//! The grammar of what has to do with certificates, secrets and pairing.

use super::Confirm;
use clap::{Args, Subcommand};
use rollcall_engine::{RobotId, TokenName};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CredentialsCommand {
    /// Sign a certificate for a robot that does not pair; an older one is revoked.
    Issue(IssueArgs),
    /// Shut a robot out: no certificates, no connections. It is disconnected now.
    Inhibit {
        /// Which.
        id: RobotId,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let an inhibited robot in again with the credentials that it had.
    Allow {
        /// Which.
        id: RobotId,
    },
    /// Make a new secret, printed once; certificate and old secret are void, and the robot is disconnected.
    Rotate {
        /// Which.
        id: RobotId,
        /// Let the robot also register itself anew, as after a reinstallation. Not for a stolen one.
        #[arg(long)]
        allow_pairing: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct IssueArgs {
    /// For which robot.
    pub(in crate::cli) id: RobotId,

    /// A PKCS#10 request, PEM; the certificate is printed. Without it a key is made here, never sent, and written
    /// beside the certificate as ID.key and ID.pem.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) csr: Option<PathBuf>,

    /// Where to write key and certificate.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "csr")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PairingCommand {
    /// Tokens with which robots register themselves.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Make a token and print it, once.
    Add(AddToken),
    /// List the tokens.
    Ls,
    /// Revoke a token; robots that have registered with it stay.
    Rm {
        /// Its name.
        name: TokenName,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AddToken {
    /// What people call it; made up if not given.
    #[arg(long)]
    pub(in crate::cli) name: Option<TokenName>,

    /// How long it is taken, as in 30days; for ever if not given.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(in crate::cli) expires: Option<Duration>,

    /// How many registrations it is good for; any number if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) uses: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CaCommand {
    /// Show the CA and the server's certificate, and when they end.
    Show,
    /// Print the CA's certificate, which robots must trust.
    Export {
        /// Write it there instead.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Read the certificates' files again; connections go on.
    Reload,
}
