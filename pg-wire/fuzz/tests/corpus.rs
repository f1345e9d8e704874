//! Replays the corpora of the targets of pg-wire.

#[macro_use]
mod replay;

targets! { pg_wire_fuzz: backend copy_rows frames frontend pgoutput rewrite session transcript values }
