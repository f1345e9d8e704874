//! Holds back the lines of a transaction until the transaction has ended.

use std::path::PathBuf;

use crate::changes::BLOCK;
use crate::failure::Failure;
use crate::spill::Spill;

/// Lines of an unfinished transaction. Lines cannot be removed from standard output, so they are written there only after the transaction
/// has ended.
#[derive(Debug)]
pub(crate) struct Held {
    dir: PathBuf,
    lines: Spill,
    /// Number of bytes of the held lines that [`next`](Self::next) has returned.
    returned: u64,
}

impl Held {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, lines: Spill::default(), returned: 0 }
    }

    /// Moves the lines to the end of the held lines.
    pub(crate) fn add(&mut self, lines: &mut Vec<u8>) -> Result<(), Failure> {
        self.lines.append(lines, &self.dir).map_err(failed)?;
        lines.clear();
        Ok(())
    }

    /// Returns the next part of the held lines. After the last part, returns `None` and drops all held lines.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let left = self.lines.length() - self.returned;
        if left == 0 {
            (self.lines, self.returned) = (Spill::default(), 0);
            return Ok(None);
        }
        let mut part = vec![0; usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)];
        self.lines.read(self.returned, &mut part).map_err(failed)?;
        self.returned += part.len() as u64;
        Ok(Some(part))
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::file("temporary file for the lines of a transaction", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_lines_are_returned_in_their_order_and_once() {
        let mut held = Held::new(std::env::temp_dir());
        for count in [3, 2_000_000, 0, 5] {
            let mut expected = Vec::new();
            for piece in 0..count / 1000 + 1 {
                let mut lines = vec![b'a' + (piece % 26) as u8; count.min(1000)];
                expected.extend_from_slice(&lines);
                held.add(&mut lines).expect("written");
                assert!(lines.is_empty());
            }
            let mut all = Vec::new();
            while let Some(part) = held.next().expect("read") {
                all.extend_from_slice(&part);
            }
            assert!(all == expected, "{count}");
        }
    }
}
