//! The `tidemill` command; everything it does is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill::command::run(std::env::args_os())
}
