//! `wengert`
