//! Storage for the changes of transactions in progress.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// Stores the bytes of transactions in progress for [`Transactions`](super::Transactions): in memory, in files, or elsewhere.
///
/// The bytes of a transaction change only at their end: bytes are appended or cut off there. The bytes need not survive the end of the
/// process: the server sends each unconfirmed transaction again.
///
/// The task that receives the stream calls the store, so a store that blocks also blocks this task.
///
/// An example with one file for each transaction, in a directory that is empty at the start:
///
/// ```
/// use std::fs::{File, OpenOptions, remove_file};
/// use std::io::{self, Read, Seek, SeekFrom, Write};
/// use std::path::PathBuf;
/// use pg_wire::replication::pgoutput::Store;
///
/// struct Files(PathBuf);
///
/// impl Files {
///     fn open(&self, xid: u32) -> io::Result<File> {
///         OpenOptions::new().create(true).read(true).append(true).open(self.0.join(xid.to_string()))
///     }
/// }
///
/// impl Store for Files {
///     type Error = io::Error;
///
///     fn append(&mut self, xid: u32, bytes: &[u8]) -> io::Result<()> {
///         self.open(xid)?.write_all(bytes)
///     }
///     fn truncate(&mut self, xid: u32, length: u64) -> io::Result<()> {
///         self.open(xid)?.set_len(length)
///     }
///     fn read(&mut self, xid: u32, offset: u64, space: &mut [u8]) -> io::Result<()> {
///         let mut file = self.open(xid)?;
///         file.seek(SeekFrom::Start(offset))?;
///         file.read_exact(space)
///     }
///     fn remove(&mut self, xid: u32) -> io::Result<()> {
///         match remove_file(self.0.join(xid.to_string())) {
///             Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
///             other => other,
///         }
///     }
/// }
/// # let mut files = Files(std::env::temp_dir().join(format!("pg-wire-store-{}", std::process::id())));
/// # std::fs::create_dir(&files.0)?;
/// # files.remove(1)?;
/// # files.append(1, b"one, two")?;
/// # files.truncate(1, 3)?;
/// # files.append(1, b" three")?;
/// # let mut space = [0; 7];
/// # files.read(1, 2, &mut space)?;
/// # assert_eq!(&space, b"e three");
/// # files.remove(1)?;
/// # std::fs::remove_dir(&files.0)?;
/// # Ok::<_, io::Error>(())
/// ```
pub trait Store {
    /// Type of the errors of the store. An error ends the replication stream.
    type Error;

    /// Appends `bytes` to the stored bytes of the transaction `xid`. The first call for a transaction creates the transaction in the store.
    ///
    /// # Errors
    /// When the bytes cannot be kept.
    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Shortens the stored bytes of the transaction `xid` to `length` bytes.
    ///
    /// # Errors
    /// When the bytes cannot be cut off.
    fn truncate(&mut self, xid: u32, length: u64) -> Result<(), Self::Error>;

    /// Reads the stored bytes of the transaction `xid` from `offset` on, and fills all of `space`. The caller only requests bytes that were
    /// appended before.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn read(&mut self, xid: u32, offset: u64, space: &mut [u8]) -> Result<(), Self::Error>;

    /// Removes the transaction `xid` from the store. It is no error if the store has no bytes of this transaction.
    ///
    /// # Errors
    /// When the transaction cannot be removed.
    fn remove(&mut self, xid: u32) -> Result<(), Self::Error>;
}

/// A [`Store`] in memory, with a limit for the number of bytes.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    limit: usize,
    used: usize,
    transactions: BTreeMap<u32, Vec<u8>>,
}

impl MemoryStore {
    /// Creates a store for at most `limit` bytes, counted over all transactions.
    pub const fn new(limit: usize) -> Self {
        Self { limit, used: 0, transactions: BTreeMap::new() }
    }

    /// Returns the number of stored bytes of all transactions.
    pub const fn used(&self) -> usize {
        self.used
    }
}

impl Store for MemoryStore {
    type Error = StoreFull;

    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), StoreFull> {
        if bytes.len() > self.limit - self.used {
            return Err(StoreFull { xid, limit: self.limit });
        }
        self.used += bytes.len();
        self.transactions.entry(xid).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, xid: u32, length: u64) -> Result<(), StoreFull> {
        if let (Some(kept), Ok(length)) = (self.transactions.get_mut(&xid), usize::try_from(length)) {
            self.used -= kept.len().saturating_sub(length);
            kept.truncate(length);
        }
        Ok(())
    }

    fn read(&mut self, xid: u32, offset: u64, space: &mut [u8]) -> Result<(), StoreFull> {
        let kept = self.transactions.get(&xid).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(offset).ok().and_then(|offset| kept.get(offset..));
        if let Some(bytes) = from.and_then(|rest| rest.get(..space.len())) {
            space.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn remove(&mut self, xid: u32) -> Result<(), StoreFull> {
        self.used -= self.transactions.remove(&xid).map_or(0, |kept| kept.len());
        Ok(())
    }
}

/// Error of a [`MemoryStore`] that has reached its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreFull {
    /// Number of the transaction whose next change does not fit into the store.
    pub xid: u32,
    /// Limit of the store in bytes.
    pub limit: usize,
}

impl fmt::Display for StoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the changes of transactions in progress take more than the limit of {} bytes (at transaction {}): raise the limit, \
             keep the changes in files, or start the stream without the option streaming",
            self.limit, self.xid
        )
    }
}

impl core::error::Error for StoreFull {}
