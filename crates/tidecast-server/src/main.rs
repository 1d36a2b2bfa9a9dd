//! The program `tidecast`; everything it does is in the library beside it, so that the fuzz targets can call its parsers.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidecast_server::run()
}
