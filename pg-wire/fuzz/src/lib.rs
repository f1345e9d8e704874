//! The fuzz targets of pg-wire.
//!
//! Each target is a function that takes any bytes, and panics if a check fails. `cargo xtask fuzz` calls the targets with inputs that
//! libFuzzer generates. The tests of this crate call each target with the inputs in `corpus`.
//!
//! To add a target, write the function in a file with the name of the target, and add the target to `fuzz_targets`, `Cargo.toml` and
//! `tests/corpus.rs`. To add seeds, which are the first inputs of the corpus, add a row to `xtask/src/fuzz/seeds.rs`.

mod backend;
mod copy_rows;
mod frames;
mod frontend;
mod input;
mod pgoutput;
mod rewrite;
mod session;
mod transcript;
mod values;

pub use backend::backend;
pub use copy_rows::copy_rows;
pub use frames::frames;
pub use frontend::frontend;
pub use pgoutput::pgoutput;
pub use rewrite::rewrite;
pub use session::session;
pub use transcript::transcript;
pub use values::values;
