//! PyTorch as the outside witness: our layers and optimisers against files that PyTorch wrote.
//!
//! `tests/fixtures/README.md` says what is in the files, `make_fixtures.py` beside it how they were made. The program's
//! training steps are compared in `demos/tests/parity/`. `cargo test --test pytorch -- --nocapture` prints the
//! largest difference of each kind.

mod fixture;
mod layers;
mod modules;
mod operations;
mod optimisers;
