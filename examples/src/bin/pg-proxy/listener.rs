//! The socket that clients connect to.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pg_stream_tokio::TokioIo;
use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::address::{self, Address};
use crate::tls::ClientStream;

/// Largest number of clients that wait to be accepted. The value is the default of the Linux setting `net.core.somaxconn`. If this setting
/// is smaller, the system uses the setting instead.
const BACKLOG: i32 = 4096;

/// A socket that clients connect to.
pub(crate) struct Listener {
    socket: Listening,
    address: Address,
    /// Time without traffic on an accepted connection before the first keepalive probe; `None` for the setting of the system.
    idle: Option<Duration>,
}

enum Listening {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// The socket file, removed when the listener is dropped.
        _file: Option<SocketFile>,
    },
}

impl Listener {
    /// Listens on an address. `mode` is the mode of the socket file, if the address is a path.
    pub(crate) async fn bind(address: &Address, mode: u32, idle: Option<Duration>) -> io::Result<Self> {
        let (socket, address) = match address {
            Address::Tcp(name) => {
                let listener = TcpListener::bind(name).await?;
                let address = Address::Tcp(listener.local_addr()?.to_string());
                (Listening::Tcp(listener), address)
            }
            Address::Unix(path) => (bind_unix(path, mode)?, address.clone()),
        };
        Ok(Self { socket, address, idle })
    }

    /// Returns the address that clients can connect to. If the address on the command line has port 0, the returned address has the port
    /// that the system picked.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next client.
    pub(crate) async fn accept(&self) -> io::Result<ClientStream> {
        loop {
            let accepted = match &self.socket {
                Listening::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                    address::prepare(&stream, self.idle)?;
                    Ok(ClientStream::Tcp(TokioIo(stream)))
                }),
                Listening::Unix { listener, .. } => listener
                    .accept()
                    .await
                    .and_then(|(stream, _)| stream.try_into().map(TokioIo).map(ClientStream::Unix)),
            };
            match accepted {
                // The client disconnected before it was accepted. The loop continues with the next client.
                Err(error) if is_about_the_client(&error) => {}
                accepted => return accepted,
            }
        }
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listening> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = match address::abstract_name(path) {
        Some(name) => {
            socket.bind(&SockAddr::unix(name)?)?;
            None
        }
        None => {
            let file = SocketFile::claim(path)?;
            socket.bind(&SockAddr::unix(path)?)?;
            // Sets the mode before `listen`, because clients can connect from `listen` on.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            Some(file)
        }
    };
    socket.listen(BACKLOG)?;
    Ok(Listening::Unix { listener: UnixListener::from_std(socket.into())?, _file: file })
}

/// Exclusive right to the path of a Unix-domain socket. The right is a lock on a file next to the socket file. Dropping this value removes
/// both files.
///
/// The system releases the lock when the process ends, even after a crash. So the holder of the lock may replace a socket file that an
/// earlier process has left.
struct SocketFile {
    path: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl SocketFile {
    /// Claims a path for the socket file. If an earlier process has left a socket file there, removes this file.
    fn claim(path: &Path) -> io::Result<Self> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".pg-proxy.lock");
        let lock = PathBuf::from(lock);
        let locked = lock_file(&lock)?;
        // If a later step fails, `claim` is dropped, which removes the lock file and the socket file.
        let claim = Self { path: path.into(), lock, _locked: locked };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(claim),
            Err(error) => Err(claim.keep_socket(error)),
            Ok(found) if !found.file_type().is_socket() => Err(claim.keep_socket(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the file at this path is no socket",
            ))),
            Ok(_) => match is_answered(path) {
                Ok(false) => fs::remove_file(path).map(|()| claim),
                Ok(true) => Err(claim.keep_socket(in_use())),
                Err(error) => Err(claim.keep_socket(error)),
            },
        }
    }

    /// Gives up the claim on the path, but keeps the file at the path, which may belong to another program. Returns `error`.
    fn keep_socket(mut self, error: io::Error) -> io::Error {
        self.path = PathBuf::new();
        error
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Errors are ignored: other programs may have removed the files.
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
        let _ = fs::remove_file(&self.lock);
    }
}

/// Opens and locks a file. The file is created if it does not exist.
fn lock_file(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The previous holder of the lock may have removed the file after this process opened it. Another process could then create and
        // lock a new file with the same name, so the loop tries again.
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|ours| ours.ino() == now.ino())) {
            return Ok(file);
        }
    }
}

/// Whether a process listens on the socket file. `WouldBlock` means that the queue of the socket is full, so a process does listen.
fn is_answered(path: &Path) -> io::Result<bool> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        connected => connected.map(|()| true),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this path")
}
