//! The `gatepost` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Every request takes and gives back small pieces of memory, which this does faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    gatepost::cli::run(std::env::args_os())
}
