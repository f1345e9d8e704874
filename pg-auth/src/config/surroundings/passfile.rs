//! Password files: `host:port:database:user:password` in each line.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-pgpass.html)

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Host;
use crate::config::host::SOCKET_DIRS;
use crate::secret::Password;

/// A warning that a file was ignored. The variant is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Users other than the owner can read, write or execute the password file.
    PasswordFileAccess(PathBuf),
    /// The password file is not a regular file.
    PasswordFileKind(PathBuf),
    /// The password file exists but cannot be read.
    PasswordFileUnreadable(PathBuf, io::ErrorKind),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, problem) = match self {
            Self::PasswordFileAccess(file) => {
                (file, "has group or world access; its permissions should be u=rw (0600) or less".into())
            }
            Self::PasswordFileKind(file) => (file, "is not a plain file".into()),
            Self::PasswordFileUnreadable(file, error) => (file, format!("cannot be read: {error}")),
        };
        write!(f, "password file \"{}\" is ignored: it {problem}", file.display())
    }
}

/// Reads a password file. Returns `None` if the file does not exist. Returns a warning if the file is not regular, or if users other than
/// the owner can access the file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Warning> {
    let unreadable = |error: io::Error| Warning::PasswordFileUnreadable(path.into(), error.kind());
    // Check before opening: opening a pipe would block.
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) => check(path, &metadata)?,
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check(path, &metadata)?;
    // Reserves the full capacity at once: a vector that grows would leave copies of passwords in freed memory.
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    file.read_to_end(&mut text).map_err(unreadable)?;
    Ok(Some(text))
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), Warning> {
    if !metadata.is_file() {
        return Err(Warning::PasswordFileKind(path.into()));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(Warning::PasswordFileAccess(path.into()));
    }
    Ok(())
}

/// The password of the file's first line that matches this host, database and user.
pub(super) fn find(text: &[u8], host: &Host, database: &str, user: &str) -> Option<Password> {
    let port = host.port().to_string();
    let names = names(host);
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b"#"));
    let mut found = lines.filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rest = names.iter().find_map(|name| after(line, name.as_bytes()))?;
        after(after(after(rest, port.as_bytes())?, database.as_bytes())?, user.as_bytes())
    });
    found.next().map(unescaped).filter(|password| !password.is_empty())
}

/// The names of this host in a password file. For a Unix-domain socket: the directory of the socket, and also `localhost` if the directory
/// is one of `SOCKET_DIRS`. For a host on the network: the name of the host; if the name is empty, the address.
fn names(host: &Host) -> Vec<String> {
    match host {
        Host::Tcp { host, address: Some(address), .. } if host.is_empty() => vec![address.to_string()],
        Host::Tcp { host, .. } => vec![host.clone()],
        Host::Unix { dir, .. } => {
            let dir = dir.to_string_lossy().into_owned();
            let usual = SOCKET_DIRS.contains(&dir.as_str());
            let local = usual.then(|| "localhost".into());
            local.into_iter().chain([dir]).collect()
        }
    }
}

/// The rest of the line after the first field, if this field equals `text` or is `*`.
fn after<'a>(line: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let (mut line, mut text) = (line.iter(), text.iter());
    loop {
        match (line.next()?, text.next()) {
            (b':', None) => return Some(line.as_slice()),
            (b'\\', Some(expected)) => {
                if line.next()? != expected {
                    return None;
                }
            }
            // As in libpq, a colon in a host name or an address need not be escaped.
            (byte, Some(expected)) if byte == expected => {}
            _ => return None,
        }
    }
}

/// Reads a password without its escapes, up to the first colon that is not escaped.
fn unescaped(text: &[u8]) -> Password {
    let mut password = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' => break,
            // A backslash at the end of the line is a part of the password.
            b'\\' => password.push(bytes.next().unwrap_or(byte)),
            byte => password.push(byte),
        }
    }
    password.into()
}
