//! The `rollcall` program: see [`rollcall::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::cli::run(std::env::args_os())
}
