//! The session: the result of the connection phase.

use std::fmt;

use pg_wire::backend::{NotificationResponse, ServerError};
use pg_wire::frontend::CancelRequest;
use pg_wire::{Text, codec::Secret};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::config::{AuthMethod, Host, ProtocolVersion};
use crate::error::AuthError;
use crate::link::{Link, TlsInfo};
use crate::secret::fill_random;

/// The data of a new session: the server's reports, and the method by which the user was authenticated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Session {
    /// The host that `ConnectionBuilder::dial` has connected to. `ConnectionBuilder::cancel` checks the server's certificate against this
    /// host. `None` if the caller supplied the stream.
    pub host: Option<Host>,
    /// The address that `ConnectionBuilder::dial` has connected to. Cancel requests must go to this address.
    pub address: Option<Address>,
    /// The parameters that the server had reported by the end of the start-up.
    pub parameters: Parameters,
    /// The secret that a cancel request must contain. `None` if the server sent no key, as some poolers do.
    pub cancel_key: Option<CancelKey>,
    /// The protocol version of the session.
    pub version: ProtocolVersion,
    /// The `_pq_.` options that the client sent and the server does not know.
    pub unrecognized_options: Vec<String>,
    /// Notices that arrived before the session was ready.
    pub notices: Vec<ServerError>,
    /// Notifications that arrived before the session was ready.
    pub notifications: Vec<Notification>,
    /// The method by which the user was authenticated.
    pub auth_method: AuthMethod,
    /// Whether the authentication was bound to the TLS channel (SCRAM-SHA-256-PLUS). If true, no man in the middle decrypts the connection.
    pub channel_bound: bool,
    /// The TLS layer's report about the channel; `None` without TLS, or if the TLS layer reported nothing.
    pub tls: Option<TlsInfo>,
}

impl Session {
    /// Creates a session with this protocol version. All other data is empty.
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self {
            host: None,
            address: None,
            parameters: Parameters::default(),
            cancel_key: None,
            version,
            unrecognized_options: Vec::new(),
            notices: Vec::new(),
            notifications: Vec::new(),
            auth_method: AuthMethod::None,
            channel_bound: false,
            tls: None,
        }
    }
}

impl Session {
    /// The destination of cancel requests for this session; `None` if the caller supplied the stream, or if the server sent no key.
    pub fn cancel_target(&self) -> Option<CancelTarget> {
        let address = self.address.clone()?;
        let link = match (&address, &self.tls) {
            (Address::Unix(_), _) => Link::Unix,
            (_, Some(_)) => Link::Tls,
            (_, None) => Link::Tcp,
        };
        Some(CancelTarget { host: self.host.clone()?, address, link, key: self.cancel_key.clone()? })
    }
}

/// The destination of cancel requests for a session: the address that the session is connected to, the kind of its stream, and its secret
/// key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelTarget {
    /// The host as the configuration names it. Over TLS, `ConnectionBuilder::cancel` checks that the certificate is issued for this host,
    /// if `sslmode` demands this check.
    pub host: Host,
    /// The address that the session is connected to.
    pub address: Address,
    /// The kind of stream that the session uses.
    pub link: Link,
    /// The secret that the cancel request must contain.
    pub key: CancelKey,
}

/// A copy of a NotificationResponse. Bytes that are not UTF-8 are replaced by U+FFFD.
///
/// [LISTEN](https://www.postgresql.org/docs/current/sql-listen.html)
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Process id of the session that sent the notification.
    pub pid: i32,
    /// The channel of the notification.
    pub channel: String,
    /// The payload of the notification; may be empty.
    pub payload: String,
}

impl Notification {
    pub(crate) fn new(notification: &NotificationResponse<'_>) -> Self {
        Self {
            pid: notification.pid,
            channel: notification.channel.to_string_lossy().into_owned(),
            payload: notification.payload.to_string_lossy().into_owned(),
        }
    }
}

/// The run-time parameters that a server has reported, with their values: `server_version`, `client_encoding`, `TimeZone` and others.
///
/// [List of the parameters](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC)
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    all: Vec<Parameter>,
    /// Total length of the names and values of all parameters, in bytes.
    bytes: usize,
}

/// A parameter: the name, followed by the value. One allocation holds both strings. This saves allocations at the start of every session,
/// when the server reports about fifteen parameters.
#[derive(Clone, PartialEq, Eq)]
struct Parameter {
    text: Box<str>,
    /// Length of the name, in bytes.
    name: usize,
}

impl Parameter {
    fn new(name: &str, value: &str) -> Self {
        Self { text: [name, value].concat().into(), name: name.len() }
    }

    fn split(&self) -> (&str, &str) {
        self.text.split_at(self.name)
    }
}

impl Parameters {
    /// The value of a parameter, if the server has reported it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Stores the parameter of a ParameterStatus. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub fn set(&mut self, name: Text<'_>, value: Text<'_>) {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let new = Parameter::new(&name, &value);
        self.bytes += new.text.len();
        match self.all.iter_mut().find(|known| known.split().0 == name) {
            Some(known) => {
                self.bytes -= known.text.len();
                *known = new;
            }
            None => self.all.push(new),
        }
    }

    /// All parameters, in the order in which they were first reported.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.all.iter().map(Parameter::split)
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Total length of the names and values of all parameters, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The secret that a server requires in a cancel request. Wiped from memory when dropped.
#[derive(Clone)]
pub struct CancelKey {
    pid: i32,
    key: Zeroizing<Vec<u8>>,
}

impl CancelKey {
    /// Makes a key from a process id and 4 to 256 secret bytes. With any other number of bytes, a cancel request cannot be
    /// encoded.
    pub fn new(pid: i32, key: &[u8]) -> Self {
        Self { pid, key: Zeroizing::new(key.to_vec()) }
    }

    /// Makes the key of a new session, as a server: 4 random bytes for protocol 3.0, 32 random bytes for newer versions.
    ///
    /// # Errors
    /// [`AuthError::Entropy`] if the operating system returns no random bytes, or if the feature `getrandom` is off.
    pub fn random(pid: i32, version: ProtocolVersion) -> Result<Self, AuthError> {
        let mut key = Zeroizing::new(vec![0; if version == ProtocolVersion::V3_0 { 4 } else { 32 }]);
        fill_random(&mut key).ok_or(AuthError::Entropy)?;
        Ok(Self { pid, key })
    }

    /// Process id of the session.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The cancel request, to be sent on a separate connection.
    ///
    /// The server does not answer the request. The server signals the session's process, and closes the separate connection afterwards.
    /// Wait until the server has closed the separate connection; otherwise the request may cancel the next statement of the session.
    pub fn request(&self) -> CancelRequest<'_> {
        CancelRequest { pid: self.pid, key: Secret(&self.key) }
    }
}

/// Compares the secret in a time that depends only on the lengths.
impl PartialEq for CancelKey {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid && self.key.ct_eq(&other.key).into()
    }
}

impl Eq for CancelKey {}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::CancelKey;

    #[test]
    fn cancel_keys_are_equal_only_if_process_id_and_secret_are_equal() {
        let key = CancelKey::new(7, b"abcd");
        assert_eq!(key, CancelKey::new(7, b"abcd"));
        for wrong in [CancelKey::new(8, b"abcd"), CancelKey::new(7, b"abce"), CancelKey::new(7, b"abc")] {
            assert_ne!(key, wrong);
        }
    }
}
