//! `gan`: trains GANs with `wengert`.
#![allow(dead_code, unused_imports)] // Until the commands use the modules.

mod data;
mod pictures;

fn main() {}
