//! Stores the data of unfinished transactions: in memory while the data is short, in a temporary file when it is long.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use pg_wire::replication::pgoutput::Store;

/// Limit, in bytes, for the data in memory. When the data reaches the limit, it is moved to the temporary file.
const BLOCK: usize = 256 * 1024;

/// A store for bytes: they are appended at the end, and read at any offset.
///
/// Long data is in a temporary file. The file has no name, so the system removes it even if the program is killed.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    file: Option<File>,
    /// Number of bytes in the temporary file.
    written: u64,
    /// Bytes in memory, which follow the bytes in the temporary file.
    tail: Vec<u8>,
}

impl Spill {
    /// Appends bytes. `dir` is the directory for the temporary file.
    pub(crate) fn append(&mut self, bytes: &[u8], dir: &Path) -> io::Result<()> {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() < BLOCK {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(dir)?),
        };
        file.seek(SeekFrom::Start(self.written))?;
        file.write_all(&self.tail)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        // Long `bytes` may have made the buffer large. Most of this memory is freed.
        self.tail.shrink_to(2 * BLOCK);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        match length.checked_sub(self.written).map(usize::try_from) {
            Some(Ok(kept)) => self.tail.truncate(kept),
            Some(Err(_)) => {}
            None => {
                self.tail.clear();
                self.written = length;
                if let Some(file) = &self.file {
                    file.set_len(length)?;
                }
            }
        }
        Ok(())
    }

    /// Fills `space` with the bytes from `offset` on. Returns an error if there are not enough bytes.
    pub(crate) fn read(&mut self, offset: u64, space: &mut [u8]) -> io::Result<()> {
        let in_file = usize::try_from(self.written.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (from_file, from_tail) = space.split_at_mut(in_file.min(space.len()));
        if let (Some(file), false) = (&mut self.file, from_file.is_empty()) {
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(from_file)?;
        }
        let skipped = usize::try_from(offset.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let tail = self.tail.get(skipped..).and_then(|tail| tail.get(..from_tail.len()));
        from_tail.copy_from_slice(tail.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(crate) fn length(&self) -> u64 {
        self.written + self.tail.len() as u64
    }
}

/// Stores the changes of unfinished transactions for the replication stream, in one [`Spill`] per transaction.
#[derive(Debug)]
pub(crate) struct Spills {
    dir: PathBuf,
    transactions: HashMap<u32, Spill>,
}

impl Spills {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, transactions: HashMap::new() }
    }
}

impl Store for Spills {
    type Error = io::Error;

    fn append(&mut self, xid: u32, bytes: &[u8]) -> io::Result<()> {
        self.transactions.entry(xid).or_default().append(bytes, &self.dir)
    }

    fn truncate(&mut self, xid: u32, length: u64) -> io::Result<()> {
        self.transactions.get_mut(&xid).map_or(Ok(()), |spill| spill.truncate(length))
    }

    fn read(&mut self, xid: u32, offset: u64, space: &mut [u8]) -> io::Result<()> {
        match self.transactions.get_mut(&xid) {
            Some(spill) => spill.read(offset, space),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&mut self, xid: u32) -> io::Result<()> {
        self.transactions.remove(&xid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends, cuts and reads a `Spill` in random steps. Repeats each step on a vector, and checks that the `Spill` and the vector have
    /// the same bytes.
    #[test]
    fn a_spill_has_the_bytes_that_were_appended_and_not_cut_off() {
        let dir = std::env::temp_dir();
        let (mut spill, mut expected) = (Spill::default(), Vec::new());
        let mut number = 1_u64;
        for _ in 0..2000 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            let piece = vec![number.to_le_bytes()[0]; (number % 5000) as usize];
            spill.append(&piece, &dir).expect("written");
            expected.extend_from_slice(&piece);
            if number.is_multiple_of(50) {
                let length = expected.len() as u64 - number % (expected.len() as u64 / 4 + 1);
                spill.truncate(length).expect("cut");
                expected.truncate(length as usize);
            }
            assert_eq!(spill.length(), expected.len() as u64);
            let offset = (number >> 8) % (expected.len() as u64 + 1);
            let mut space = vec![0; (expected.len() - offset as usize).min(10_000)];
            spill.read(offset, &mut space).expect("read");
            assert!(space == expected[offset as usize..][..space.len()]);
        }
        assert!(spill.file.is_some() && spill.written > 0 && !spill.tail.is_empty());
        let mut all = vec![0; expected.len()];
        spill.read(0, &mut all).expect("read");
        assert!(all == expected);
        assert!(spill.read(1, &mut all).is_err(), "one byte too many");
    }

    #[test]
    fn transactions_are_kept_apart() {
        let mut spills = Spills::new(std::env::temp_dir());
        for (xid, bytes) in [(7, &b"seven"[..]), (8, b"eight"), (7, b" again")] {
            spills.append(xid, bytes).expect("kept");
        }
        spills.truncate(8, 3).expect("cut");
        let mut space = [0; 11];
        spills.read(7, 0, &mut space).expect("read");
        assert_eq!(&space, b"seven again");
        spills.read(8, 0, &mut space[..3]).expect("read");
        assert_eq!(&space[..3], b"eig");
        spills.remove(8).expect("forgotten");
        assert!(spills.read(8, 0, &mut space[..1]).is_err());
        spills.remove(9).expect("nothing to forget");
    }
}
