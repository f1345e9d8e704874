//! The project's chores, as `cargo xtask WORD`.

fn main() {}
