//! The launcher alone, for tests of this crate; the lake runs it as `millpond __function`.

fn main() -> std::process::ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    std::process::ExitCode::from(millpond_functions::sandbox::main(&arguments))
}
