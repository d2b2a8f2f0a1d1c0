//! `gan`: trains GANs with `wengert`.

use clap::Parser;
use wengert_demos::files::printable;
use wengert_demos::interrupt::Interrupted;

fn main() -> std::process::ExitCode {
    match wengert_demos::commands::Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        // Somebody's wish is no error, and has been answered; the code says how the program ended.
        Err(error) => match error.downcast_ref::<Interrupted>() {
            Some(interrupted) => std::process::ExitCode::from(interrupted.exit_code()),
            None => {
                eprintln!("{}", printable(format_args!("error: {error:#}")));
                std::process::ExitCode::FAILURE
            }
        },
    }
}
