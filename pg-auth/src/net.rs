//! Sets the options of sockets, and checks the permissions of key files. For implementations of [`Runtime`](crate::runtime::Runtime).

use std::io;
use std::path::Path;

use socket2::{SockRef, TcpKeepalive};

use crate::config::Config;

/// Sets the options of a TCP socket: Nagle's algorithm off, keepalive, and `tcp_user_timeout` (on Linux, Android and Fuchsia only).
///
/// # Errors
/// The operating system's error.
pub fn configure<'s>(socket: impl Into<SockRef<'s>>, config: &Config) -> io::Result<()> {
    let socket = socket.into();
    // Nagle's algorithm is off. All messages of a flush are written together, so the algorithm would only delay their last packet.
    socket.set_tcp_nodelay(true)?;
    let settings = &config.keepalives;
    if settings.enabled {
        let mut probes = TcpKeepalive::new();
        if let Some(idle) = settings.idle {
            probes = probes.with_time(idle);
        }
        #[cfg(not(any(target_os = "openbsd", target_os = "redox", target_os = "solaris")))]
        if let Some(interval) = settings.interval {
            probes = probes.with_interval(interval);
        }
        #[cfg(not(any(target_os = "openbsd", target_os = "redox", target_os = "solaris")))]
        if let Some(count) = settings.count {
            probes = probes.with_retries(count);
        }
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    if config.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(config.tcp_user_timeout)?;
    }
    Ok(())
}

/// Connects to a Unix-domain socket without blocking: if the listener's queue is full, the result is the operating system's error `EAGAIN`,
/// as in libpq. On Linux, a path that begins with `@` is a name in the abstract namespace. The socket is non-blocking afterwards.
///
/// If `requirepeer` is set, also checks that the server's process runs as the user that `requirepeer` names.
///
/// # Errors
/// The operating system's error, or an error if the server runs as a user other than `requirepeer`.
#[cfg(unix)]
pub fn unix_socket(path: &Path, config: &Config) -> io::Result<std::os::unix::net::UnixStream> {
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let bytes = path.as_os_str().as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) if cfg!(any(target_os = "linux", target_os = "android")) => {
            SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))?
        }
        _ => SockAddr::unix(path)?,
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    if let Some(required) = &config.requirepeer {
        check_peer(&stream, required)?;
    }
    Ok(stream)
}

/// Always fails: this system has no Unix-domain sockets.
#[cfg(not(unix))]
pub fn unix_socket(_: &Path, _: &Config) -> io::Result<crate::stream::Never> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix-domain sockets"))
}

/// Checks the permissions of a private key file, as libpq does. Only the owner may have access to the file. If root owns the file, the
/// group may also read the file. On Windows, files have no mode, so this function only checks that the file is a regular file.
///
/// # Errors
/// The file does not exist, is not a regular file, or has a mode that lets other users access the file.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-CLIENTCERT)
pub fn check_key_file(path: &Path) -> io::Result<()> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|error| {
        io::Error::new(error.kind(), format!("the private key {shown} cannot be read: {error}"))
    })?;
    if !found.is_file() {
        let message = format!("the private key {shown} is not a regular file");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
        if found.mode() & forbidden != 0 {
            let message = format!(
                "the private key {shown} has mode {:04o}, which lets other users access it: use 0600 or less (0640 if root owns the file)",
                found.mode() & 0o7777
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    Ok(())
}

/// Checks that the process at the other end of the stream runs as the user `required`.
#[cfg(all(feature = "requirepeer", any(target_os = "linux", target_os = "android")))]
fn check_peer(stream: &std::os::unix::net::UnixStream, required: &str) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
    let name = uzers::get_user_by_uid(peer).map(|user| user.name().to_string_lossy().into_owned());
    if name.as_deref() == Some(required) {
        return Ok(());
    }
    let found = name.unwrap_or_else(|| format!("number {peer}"));
    let message = format!("requirepeer demands the user {required}, but the server runs as the user {found}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(all(unix, not(all(feature = "requirepeer", any(target_os = "linux", target_os = "android")))))]
fn check_peer(_: &std::os::unix::net::UnixStream, _: &str) -> io::Result<()> {
    let message = "requirepeer needs Linux and the feature \"requirepeer\" of the crate";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use crate::config::Keepalives;

    fn pair() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        (TcpStream::connect(address).expect("the listener accepts"), listener)
    }

    #[test]
    fn keepalive_is_on_unless_switched_off() {
        let (stream, _listener) = pair();
        configure(&stream, &Config::new("me")).expect("the socket is open");
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("the socket is open"));
        assert!(socket.tcp_nodelay().expect("the socket is open"));

        let (stream, _listener) = pair();
        let mut config = Config::new("me");
        config.keepalives = Keepalives::default().enabled(false);
        configure(&stream, &config).expect("the socket is open");
        assert!(!SockRef::from(&stream).keepalive().expect("the socket is open"));
    }

    #[test]
    fn every_option_reaches_the_socket() {
        let (stream, _listener) = pair();
        let mut config = Config::new("me");
        config.keepalives =
            Keepalives::default().idle(Duration::from_secs(11)).interval(Duration::from_secs(12)).count(13);
        config.tcp_user_timeout = Some(Duration::from_millis(14_000));
        configure(&stream, &config).expect("the socket is open");
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_keepalive_time().ok(), Some(Duration::from_secs(11)));
        assert_eq!(socket.tcp_keepalive_interval().ok(), Some(Duration::from_secs(12)));
        assert_eq!(socket.tcp_keepalive_retries().ok(), Some(13));
        assert_eq!(socket.tcp_user_timeout().ok(), Some(config.tcp_user_timeout));
    }

    #[test]
    fn a_full_listen_queue_gives_an_error_at_once() {
        use socket2::{Domain, SockAddr, Socket, Type};
        let name = format!("pg-auth-full-queue-{}", std::process::id());
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a new socket");
        listener.bind(&SockAddr::unix(format!("\0{name}")).expect("a short name")).expect("a new name");
        listener.listen(0).expect("the socket is bound");
        let path = std::path::PathBuf::from(format!("@{name}"));
        let config = Config::new("me");
        let mut waiting = Vec::new();
        let error = loop {
            match unix_socket(&path, &config) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100, "the queue is never full");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[cfg(feature = "requirepeer")]
    #[test]
    fn requirepeer_rejects_a_server_of_another_user() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a new file");
        let me = uzers::get_current_username().expect("this user has a name").to_string_lossy().into_owned();
        let mut config = Config::new("me");
        config.requirepeer = Some(me.clone());
        unix_socket(&path, &config).expect("the listener is this process");
        config.requirepeer = Some(String::from("somebody else"));
        let error = unix_socket(&path, &config).expect_err("this process runs as another user");
        assert_eq!(
            error.to_string(),
            format!("requirepeer demands the user somebody else, but the server runs as the user {me}")
        );
    }

    #[test]
    fn a_key_file_that_others_can_access_is_rejected() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("client.key");
        std::fs::write(&path, "a key").expect("a new file");
        let owned_by_root = std::fs::metadata(&path).expect("the file exists").uid() == 0;
        for (mode, allowed) in [
            (0o600, true),
            (0o400, true),
            (0o640, owned_by_root),
            (0o660, false),
            (0o610, false),
            (0o604, false),
            (0o602, false),
            (0o601, false),
            (0o644, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("the file is ours");
            match check_key_file(&path) {
                Ok(()) => assert!(allowed, "{mode:04o}"),
                Err(error) => {
                    assert!(!allowed, "{mode:04o}: {error}");
                    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                    assert!(error.to_string().contains(&format!("has mode {mode:04o},")), "{error}");
                }
            }
        }
    }

    #[test]
    fn the_error_names_a_key_file_that_is_missing_or_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = check_key_file(dir.path()).expect_err("a directory");
        assert!(error.to_string().ends_with("is not a regular file"), "{error}");
        let missing = dir.path().join("missing.key");
        let error = check_key_file(&missing).expect_err("no such file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("missing.key"), "{error}");
    }
}
