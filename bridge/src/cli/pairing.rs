//! `rollcall pairing …`

use super::args::{AddToken, PairingCommand, TokenCommand};
use super::client::{Client, segment};
use super::exit::Failure;
use super::output::{Output, confirm, note, or_dash, sheet, table};
use crate::api::{MadePairingToken, NewPairingToken, Page, PairingTokenView};
use serde_json::Value;

pub(super) fn run(
    command: PairingCommand,
    client: &Client,
    output: &mut Output,
) -> Result<(), Failure> {
    let PairingCommand::Token(command) = command;
    match command {
        TokenCommand::Add(args) => add(args, client, output),
        TokenCommand::Ls => list(client, output),
        TokenCommand::Rm { name, confirm: yes } => {
            let question =
                format!("Revoke pairing token {name}? Robots that registered with it stay.");
            confirm(yes.yes, &question)?;
            let path = format!("/pairing/tokens/{}", segment(name.as_str()));
            let removed: Value = client.delete(&path)?;
            if output.json {
                return Ok(output.json(&removed)?);
            }
            Ok(output.line(format_args!("revoked pairing token {name}"))?)
        }
    }
}

fn add(args: AddToken, client: &Client, output: &mut Output) -> Result<(), Failure> {
    let expires = args.expires.map(|span| span.as_millis());
    let token = NewPairingToken {
        name: args.name.map(|name| name.to_string()),
        expires_in_ms: expires.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        uses: args.uses,
    };
    let made: MadePairingToken = client.post("/pairing/tokens", &token)?;
    if output.json {
        return Ok(output.json(&made)?);
    }
    let mut sheet = sheet();
    sheet.add_row(["name", &made.name]);
    sheet.add_row(["pairing token", &made.token]);
    output.table(sheet)?;
    note("The token is not stored and will not be shown again.");
    Ok(())
}

fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let tokens: Page<PairingTokenView> = client.get("/pairing/tokens")?;
    if output.json {
        return Ok(output.json(&tokens)?);
    }
    let mut table = table(["token", "good", "used", "of", "expires", "created"]);
    for token in &tokens.items {
        table.add_row([
            token.name.as_str(),
            if token.good { "yes" } else { "no" },
            &token.used.to_string(),
            &token
                .uses
                .map_or_else(|| "-".to_owned(), |uses| uses.to_string()),
            or_dash(token.expires.as_deref()),
            &token.created,
        ]);
    }
    Ok(output.table(table)?)
}
