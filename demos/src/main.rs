//! `gan`: trains GANs with `wengert`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use wengert_demos::commands::Cli;
use wengert_demos::files::printable;
use wengert_demos::interrupt::Interrupted;
use wengert_demos::usage;

fn main() -> ExitCode {
    usage::return_large_blocks();
    match Cli::try_parse().map(Cli::run) {
        Ok(done) => end(done),
        Err(text) => print(&text),
    }
}

/// Help and the version, which are asked for, and wrong usage.
fn print(text: &clap::Error) -> ExitCode {
    match text.print().and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            end(Err(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => ExitCode::from(u8::try_from(text.exit_code()).unwrap_or(1)),
    }
}

/// The exit code, after the error, if there is one, has been told.
fn end(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Somebody's wish is no error, and has been answered; the code says how the program ended.
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
                return ExitCode::from(interrupted.exit_code());
            }
            if let Some(usage) = error.downcast_ref::<clap::Error>() {
                return print(usage);
            }
            // Where nobody can be told, the code is left.
            let _ = writeln!(std::io::stderr(), "{}", printable(format_args!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}
