//! `gan`: trains GANs with `wengert`.

use clap::Parser;

fn main() -> std::process::ExitCode {
    // A device that fails in the middle of an operation panics with its error, which `Cli::run` returns like any other.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<wengert::DeviceError>() {
            usual(panic);
        }
    }));
    match wengert_demos::commands::Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
