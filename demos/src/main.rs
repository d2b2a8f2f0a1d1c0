//! `gan`: trains GANs with `wengert`.

fn main() {}
