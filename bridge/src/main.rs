//! The `rollcall` program: see [`rollcall::cli`].

use std::process::ExitCode;

/// What one thread allocates another frees, the whole time: a publish comes from a connection's worker and ends at the writer,
/// its answer goes the other way. The C library's arenas are slow at that (`docs/benchmarks.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rollcall::cli::run(std::env::args_os())
}
