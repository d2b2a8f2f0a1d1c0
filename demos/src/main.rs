//! `gan`: trains GANs with `wengert`.

use clap::Parser;

fn main() -> std::process::ExitCode {
    match wengert_demos::commands::Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
