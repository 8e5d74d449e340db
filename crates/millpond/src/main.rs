//! The binary. All of it is in the library.

use std::ffi::OsString;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What starts a function's process comes before all else: it has to be quick, and must not have threads yet.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == millpond_functions::LAUNCHER_ARGUMENT) {
        let rest: Vec<OsString> = arguments.collect();
        return ExitCode::from(millpond_functions::sandbox::main(&rest));
    }
    ExitCode::from(millpond::cli::main())
}
