//! The setting `sslkeylogfile`: TLS secrets of connections are written to a file, for debugging.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio_rustls::rustls::KeyLog;

/// Appends TLS secrets to a file in the format of NSS.
#[derive(Debug)]
pub(super) struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens the file, and creates a missing file. On Unix, only the owner can read a file that this function has created.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let explain = |error: io::Error| {
            let message = format!("the key log {} cannot be opened: {error}", path.display());
            io::Error::new(error.kind(), message)
        };
        options.open(path).map(|file| Self(Mutex::new(file))).map_err(explain)
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A failure is ignored, because a debugging aid must not end a connection.
        let _ = file.write_all(line.as_bytes());
    }
}
