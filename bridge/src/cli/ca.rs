//! `rollcall ca …`

use super::args::CaCommand;
use super::client::Client;
use super::exit::{Exit, Failure};
use super::output::{Output, note, sheet};
use crate::api::{CaView, Reloaded};
use serde_json::json;

pub(super) fn run(command: CaCommand, client: &Client, output: &mut Output) -> Result<(), Failure> {
    match command {
        CaCommand::Show => {
            let ca: CaView = client.get("/ca")?;
            if output.json {
                return Ok(output.json(&ca)?);
            }
            show(&ca, output)
        }
        CaCommand::Export { out: None } => {
            let ca: CaView = client.get("/ca")?;
            if output.json {
                return Ok(output.json(&ca)?);
            }
            Ok(output.line(ca.certificate.trim_end())?)
        }
        CaCommand::Export { out: Some(path) } => {
            let ca: CaView = client.get("/ca")?;
            // Everybody may read it, unlike a key.
            std::fs::write(&path, &ca.certificate).map_err(|error| {
                let message = format!("{} cannot be written: {error}", path.display());
                Failure::new(Exit::Failure, "write", message)
            })?;
            if output.json {
                return Ok(output.json(&json!({"written": path, "fingerprint": ca.fingerprint}))?);
            }
            Ok(output.line(format_args!("wrote {}", path.display()))?)
        }
        CaCommand::Reload => {
            let reloaded: Reloaded = client.post("/ca/reload", &json!({}))?;
            if output.json {
                return Ok(output.json(&reloaded)?);
            }
            let what = if reloaded.changed {
                "new connections use other certificates now"
            } else {
                "nothing has changed"
            };
            note(what);
            show(&reloaded.ca, output)
        }
    }
}

fn show(ca: &CaView, output: &mut Output) -> Result<(), Failure> {
    let mut sheet = sheet();
    let names: Vec<_> = ca.server.names.iter().map(String::as_str).collect();
    sheet.add_row(["ca", &ca.subject]);
    sheet.add_row(["sha-256", &ca.fingerprint]);
    sheet.add_row(["ca ends", &ca.not_after]);
    sheet.add_row(["server is", &names.join(", ")]);
    sheet.add_row(["server ends", &ca.server.not_after]);
    output.table(sheet)?;
    for warning in &ca.warnings {
        note(format_args!("warning: {warning}"));
    }
    Ok(())
}
