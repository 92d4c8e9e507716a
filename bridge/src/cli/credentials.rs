//! `rollcall robot credentials …`

use super::args::{CredentialsCommand, IssueArgs};
use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::output::{Output, confirm, note, sheet};
use crate::api::{CertificateRequest, CredentialsView, NewSecret, Rotation, SignedCertificate};
use crate::private_file;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rollcall_engine::RobotId;
use serde_json::json;
use std::path::Path;

pub(super) fn run(
    command: CredentialsCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        CredentialsCommand::Issue(args) => issue(&args, client, output),
        CredentialsCommand::Inhibit { id, confirm: yes } => {
            let question =
                format!("Shut robot {id} out? It is disconnected and gets no certificate.");
            confirm(yes.yes, &question)?;
            changed(&id, "inhibit", client, output)
        }
        CredentialsCommand::Allow { id } => changed(&id, "allow", client, output),
        CredentialsCommand::Rotate {
            id,
            allow_pairing,
            confirm: yes,
        } => {
            let question = format!(
                "Replace the secret of robot {id}? Its certificate is revoked and it is disconnected."
            );
            confirm(yes.yes, &question)?;
            rotate(&id, Rotation { allow_pairing }, client, output)
        }
    }
}

fn path(id: &RobotId, verb: &str) -> String {
    format!("/robots/{}/credentials/{verb}", segment(id.as_str()))
}

fn changed(id: &RobotId, verb: &str, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let credentials: CredentialsView = client.post(&path(id, verb), &json!({}))?;
    if output.json {
        return Ok(output.json(&credentials)?);
    }
    let status = super::robot::credentials_text(&credentials);
    Ok(output.line(format_args!("robot {id}: {status}"))?)
}

fn rotate(
    id: &RobotId,
    rotation: Rotation,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let secret: NewSecret = client.post(&path(id, "rotate"), &rotation)?;
    if output.json {
        return Ok(output.json(&secret)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["robot", &secret.id]);
    sheet.add_row(["client id", &secret.client_id]);
    sheet.add_row(["user name", &secret.username]);
    sheet.add_row(["credentials secret", &secret.credentials_secret]);
    output.table(sheet)?;
    note(if rotation.allow_pairing {
        "The secret is not stored and will not be shown again. Until it is used the robot may also register anew."
    } else {
        "The secret is not stored and will not be shown again. Put it into the robot; it cannot register anew."
    });
    Ok(())
}

fn issue(args: &IssueArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let sign = |csr| client.post(&path(&args.id, "certificate"), &CertificateRequest { csr });
    if let Some(file) = &args.csr {
        let csr = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", file.display()))
        })?;
        let signed: SignedCertificate = sign(csr)?;
        return if output.json {
            Ok(output.json(&signed)?)
        } else {
            Ok(output.line(signed.client_crt.trim_end())?)
        };
    }
    let (key_file, certificate_file) = (
        args.out.join(format!("{}.key", args.id)),
        args.out.join(format!("{}.pem", args.id)),
    );
    for file in [&key_file, &certificate_file] {
        if file.exists() {
            let message = format!(
                "{} is there already; remove it or name another --out",
                file.display()
            );
            return Err(Failure::usage(message));
        }
    }
    let (key, csr) = new_key().map_err(|error| Failure::other(&error.into()))?;
    let signed: SignedCertificate = sign(csr)?;
    // The key first: without it the certificate is of no use.
    write(&key_file, &key)?;
    write(&certificate_file, &signed.client_crt)?;
    if output.json {
        return Ok(output.json(&json!({
            "robot": signed.robot, "serial": signed.serial, "not_after": signed.not_after,
            "not_after_ms": signed.not_after_ms, "key": key_file, "certificate": certificate_file,
        }))?);
    }
    let mut sheet = sheet();
    sheet.add_row(["robot", &signed.robot]);
    sheet.add_row(["key", &key_file.display().to_string()]);
    sheet.add_row(["certificate", &certificate_file.display().to_string()]);
    sheet.add_row(["ends", &signed.not_after]);
    output.table(sheet)?;
    note("The robot must also trust the CA: `rollcall ca export`.");
    Ok(())
}

/// A new private key, and a request to certify it. The server gives the name.
fn new_key() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), csr))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    private_file::write(path, text.as_bytes()).map_err(|error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Failure::new(Exit::Failure, "write", message)
            .hint("choose another folder with --out, and issue again")
    })
}
