//! Measurements that use no network: every compared implementation reads or writes the same bytes in memory.

pub(crate) mod changes;
mod copy;
mod copy_rows;
mod copy_server;
pub(crate) mod decode;
mod dynamic;
mod encode;
mod forward;
pub(crate) mod hand;
pub(crate) mod source;
pub(crate) mod touch;
pub(crate) mod typed;
mod typed_bind;

use anyhow::Result;

use crate::line::Line;

/// Returns all measurements that use no network. `part` divides only the number of rows in the measurements of a COPY with many rows, whose
/// rounds are long.
pub(crate) fn lines(part: u64) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for columns in [1, 8, 50] {
        lines.push(decode::blocking(columns)?);
        lines.push(decode::on_tokio(columns)?);
        lines.push(decode::on_tokio_by_piece(columns)?);
    }
    lines.extend(changes::lines()?);
    lines.extend(typed::lines()?);
    lines.extend(typed_bind::lines());
    lines.extend(copy::lines()?);
    lines.extend(copy_rows::lines(part)?);
    lines.extend(encode::lines());
    lines.extend(dynamic::lines());
    lines.extend(forward::lines()?);
    Ok(lines)
}
