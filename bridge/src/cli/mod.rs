//! The command line: `serve` and `demo` run here, everything else is a client of the HTTP API.
//!
//! **Invariant**: standard output carries data and nothing else; progress, questions and errors go to standard error.
//! Exit codes are in `exit.rs`.

mod args;
mod ca;
mod channel;
mod client;
mod credentials;
mod device;
mod exit;
mod group;
mod image;
mod ledger;
mod output;
mod pairing;
mod release;
mod robot;
mod rollout;
mod serve;
mod standstill;
mod update;

pub use exit::Exit;

use args::{Cli, Command, Global};
use clap::Parser;
use client::Client;
use exit::Failure;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version end well; a closed pipe is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Success.into()
            };
        }
    };
    let mut output = Output::new(cli.global.json);
    match dispatch(cli, &mut output) {
        Ok(code) => code,
        Err(failure) => output.fail(&failure).into(),
    }
}

fn dispatch(cli: Cli, output: &mut Output) -> Result<ExitCode, Failure> {
    let global = cli.global;
    let done = match cli.command {
        Command::Serve(args) => return serve::serve(args, &global),
        Command::Demo(args) => return serve::demo(args, &global),
        Command::Fleet(args) => return serve::fleet(&args),
        Command::Robot(command) => robot::run(command, &client(&global)?, output),
        Command::Pairing(command) => pairing::run(command, &client(&global)?, output),
        Command::Ca(command) => ca::run(command, &client(&global)?, output),
        Command::Group(command) => group::run(command, &client(&global)?, output),
        Command::Channel(command) => channel::run(command, &client(&global)?, output),
        Command::Release(command) => release::run(command, &client(&global)?, output),
        Command::Image(command) => image::run(command, &client(&global)?, output),
        Command::Rollout(command) => return rollout::run(command, &client(&global)?, output),
    };
    done.map(|()| Exit::Success.into())
}

fn client(global: &Global) -> Result<Client, Failure> {
    Client::new(&global.api, global.token.as_deref(), global.data_dir())
}
