//! Starts TLS, as a client and as a server: the request, the answer of one byte, and the hook for a TLS library.
//!
//! [`TlsStart`] (client) and [`TlsOffer`] (server) are state machines without I/O. A platform that has its own function to start TLS on a
//! socket can also use these machines. [`negotiate`] and [`receive_offer`] run these machines over any stream that can be polled. A TLS
//! library is plugged in by a closure or, for a client, by the one-method trait [`TlsConnect`].
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL)

use std::fmt;
use std::io;

use pg_wire::Transport;
use pg_wire::frontend::{GssEncRequest, Initial, SslRequest};

use crate::config::{Config, Host, SslNegotiation};
use crate::link::TlsInfo;
use crate::stream::{Never, read_exact, write_all};

/// The name of the protocol in ALPN. Direct TLS requires ALPN, so that a TLS connection for another protocol is not mistaken for a
/// connection to PostgreSQL.
pub const ALPN: &[u8] = b"postgresql";

/// The first byte of a TLS ClientHello: a record of type "handshake". Without TLS, the first byte of a connection is the highest byte of a
/// packet's length. There, 0x16 would mean a length of at least 369 MB, which is invalid. So the two cases cannot be confused.
const TLS_HANDSHAKE: u8 = 0x16;

/// Length in bytes of an SSLRequest or a GSSENCRequest, and the minimum length of any first packet.
const REQUEST_LEN: usize = 8;

/// A TLS library in the client role: turns a stream into a TLS stream.
///
/// `S` is the stream before TLS: the runtime's TCP transport, such as `TokioIo<TcpStream>`.
pub trait TlsConnect<S> {
    /// The stream after the TLS handshake.
    type Stream: Transport;

    /// Whether there is a TLS library. If false, a client does not ask for TLS.
    const AVAILABLE: bool = true;

    /// Performs the TLS handshake over `stream`, on which the next byte belongs to TLS.
    ///
    /// The implementation must offer [`ALPN`], and must check the peer's certificate as [`TlsRequest::config`] demands. The caller checks
    /// the protocol that ALPN agreed on.
    ///
    /// # Errors
    /// The handshake failed, a certificate is not trusted, or a setting cannot be applied. If a setting cannot be applied, the error must
    /// have one of the kinds `InvalidInput`, `NotFound`, `PermissionDenied`, `IsADirectory`, `NotADirectory` and `Unsupported`. After such
    /// an error, the client does not try to connect without TLS. After any other error, a client with `sslmode=prefer` continues without
    /// TLS.
    fn upgrade(
        &self,
        stream: S,
        request: &TlsRequest<'_>,
    ) -> impl Future<Output = io::Result<Upgraded<Self::Stream>>>;
}

/// A request for a TLS handshake.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TlsRequest<'a> {
    /// The settings of the connection: `sslmode`, the trusted roots, the client's certificate, versions, SNI.
    pub config: &'a Config,
    /// The host to connect to. With `sslmode=verify-full`, the server's certificate must contain the host's name.
    pub host: &'a Host,
    /// Whether TLS begins without an SSLRequest (direct TLS). If true, the client must offer ALPN.
    pub direct: bool,
}

impl<'a> TlsRequest<'a> {
    /// A request for a handshake with this host.
    pub fn new(config: &'a Config, host: &'a Host) -> Self {
        Self { config, host, direct: config.sslnegotiation == SslNegotiation::Direct }
    }
}

/// A TLS stream after its handshake, with the TLS library's report about the channel.
///
/// If the report lacks the certificate, SCRAM cannot be bound to the channel. If the report lacks the ALPN protocol, direct TLS fails.
///
/// ```
/// use pg_auth::tls::Upgraded;
///
/// # let (tls_stream, certificate) = ((), vec![0x30]);
/// let upgraded = Upgraded::new(tls_stream).certificate(certificate).alpn(b"postgresql");
/// assert_eq!(upgraded.info.alpn.as_deref(), Some(&b"postgresql"[..]));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upgraded<S> {
    /// The stream after the TLS handshake.
    pub stream: S,
    /// The TLS library's report about the channel.
    pub info: TlsInfo,
    /// As a server: the server's own certificate, in DER. SCRAM-SHA-256-PLUS binds to this certificate.
    pub own_certificate: Option<Vec<u8>>,
}

impl<S> Upgraded<S> {
    /// Creates an `Upgraded` for a TLS stream. The report about the channel is empty.
    pub fn new(stream: S) -> Self {
        Self { stream, info: TlsInfo::default(), own_certificate: None }
    }

    /// Sets the certificate that the peer presented, in DER.
    pub fn certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.info.certificate = Some(der.into());
        self
    }

    /// Sets the protocol that ALPN agreed on.
    pub fn alpn(mut self, protocol: impl Into<Vec<u8>>) -> Self {
        self.info.alpn = Some(protocol.into());
        self
    }

    /// Sets the whole report about the channel.
    pub fn info(mut self, info: TlsInfo) -> Self {
        self.info = info;
        self
    }

    /// Sets the server's own certificate, in DER.
    pub fn own_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.own_certificate = Some(der.into());
        self
    }

    /// Wraps the stream, and keeps the report about the channel.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Upgraded<T> {
        let Self { stream, info, own_certificate } = self;
        Upgraded { stream: wrap(stream), info, own_certificate }
    }
}

impl<S> From<S> for Upgraded<S> {
    fn from(stream: S) -> Self {
        Self::new(stream)
    }
}

/// A placeholder for the TLS library in a program without TLS: `sslmode=prefer` connects without TLS; `require` and stricter modes fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTls;

impl<S> TlsConnect<S> for NoTls {
    type Stream = Never;
    const AVAILABLE: bool = false;

    async fn upgrade(&self, _: S, _: &TlsRequest<'_>) -> io::Result<Upgraded<Never>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, TlsError::Unavailable))
    }
}

/// State machine with which a client starts TLS: each step decides the next action, without I/O and without waiting.
///
/// ```text
///   postgres:  Send ─▶ ReadByte ──S──▶ Upgrade
///                          └─────N──▶ Clear (an error if TLS is required)
///   direct:    Upgrade
/// ```
///
/// After [`Upgrade`](TlsStep::Upgrade), the TLS library performs the handshake, and the start-up message is sent through TLS. Exactly one
/// byte is read before TLS: if the server has sent more unencrypted bytes, the TLS library receives these bytes and the handshake fails.
#[derive(Clone, Debug)]
pub struct TlsStart {
    state: TlsStep,
    required: bool,
}

/// The next action of a client that begins TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsStep {
    /// Send the SSLRequest, [`TlsStart::REQUEST`], then call [`TlsStart::sent`].
    Send,
    /// Read exactly one byte, and pass it to [`TlsStart::answer`].
    ReadByte,
    /// Perform the TLS handshake.
    Upgrade,
    /// Continue without TLS.
    Clear,
}

impl TlsStart {
    /// The SSLRequest: length 8, then the code 1234.5679.
    pub const REQUEST: [u8; REQUEST_LEN] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

    /// Creates the state machine with which a client starts TLS. If the server has no TLS, the machine ends in [`TlsStep::Clear`], or in an
    /// error if TLS is `required`.
    pub fn new(negotiation: SslNegotiation, required: bool) -> Self {
        let state = match negotiation {
            SslNegotiation::Direct => TlsStep::Upgrade,
            SslNegotiation::Postgres => TlsStep::Send,
        };
        Self { state, required }
    }

    /// Whether TLS begins without an SSLRequest. Call this before the first step.
    pub fn is_direct(&self) -> bool {
        self.state == TlsStep::Upgrade
    }

    /// Returns the next action of the caller.
    pub fn step(&self) -> TlsStep {
        self.state
    }

    /// Reports that the SSLRequest has been sent.
    pub fn sent(&mut self) {
        if self.state == TlsStep::Send {
            self.state = TlsStep::ReadByte;
        }
    }

    /// Processes the server's answer.
    ///
    /// # Errors
    /// [`TlsError::Refused`] for `N` if TLS is required, [`TlsError::ServerFailed`] for `E`, and [`TlsError::Answer`] for any other byte.
    /// The text after an `E` is not authenticated, and therefore not read
    /// ([CVE-2024-10977](https://www.postgresql.org/support/security/CVE-2024-10977/)).
    pub fn answer(&mut self, byte: u8) -> Result<(), TlsError> {
        self.state = match byte {
            b'S' => TlsStep::Upgrade,
            b'N' if self.required => return Err(TlsError::Refused),
            b'N' => TlsStep::Clear,
            b'E' => return Err(TlsError::ServerFailed),
            other => return Err(TlsError::Answer(other)),
        };
        Ok(())
    }
}

/// Runs a [`TlsStart`] over a stream on which nothing has been sent yet. Returns whether TLS must begin now.
///
/// # Errors
/// The errors of [`TlsStart::answer`], and [`TlsError::Io`].
pub async fn negotiate(stream: &mut impl Transport, mut start: TlsStart) -> Result<bool, TlsError> {
    loop {
        match start.step() {
            TlsStep::Send => {
                write_all(stream, &TlsStart::REQUEST).await.map_err(TlsError::Io)?;
                start.sent();
            }
            TlsStep::ReadByte => {
                let mut answer = [0];
                read_exact(stream, &mut answer).await.map_err(TlsError::Io)?;
                let [answer] = answer;
                start.answer(answer)?;
            }
            TlsStep::Upgrade => return Ok(true),
            TlsStep::Clear => return Ok(false),
        }
    }
}

/// Checks the protocol that ALPN agreed on. Direct TLS requires the protocol `postgresql`. After an SSLRequest, the server may also choose
/// no protocol.
///
/// # Errors
/// [`TlsError::Alpn`] for any other protocol, or for no protocol with direct TLS.
pub fn check_alpn(direct: bool, info: &TlsInfo) -> Result<(), TlsError> {
    match &info.alpn {
        Some(protocol) if protocol == ALPN => Ok(()),
        None if !direct => Ok(()),
        other => Err(TlsError::Alpn(other.clone().map(Vec::into_boxed_slice))),
    }
}

/// State machine with which a server starts TLS: each step looks at the connection's first bytes and decides the next action, without I/O
/// and without waiting.
///
/// The machine answers the first SSLRequest by `S` and the first GSSENCRequest by `N`, as PostgreSQL does.
/// [`Accept`](crate::accept::Accept) processes every other first packet.
///
/// ```text
///   first byte 0x16 ────────────────▶ Upgrade (direct TLS)
///   SSLRequest ─────▶ Send 'S' ─────▶ Upgrade
///   GSSENCRequest ──▶ Send 'N' ─────▶ read again
///   anything else ──────────────────▶ Clear
/// ```
#[derive(Clone, Debug, Default)]
pub struct TlsOffer {
    bytes: [u8; REQUEST_LEN],
    len: usize,
    gss_declined: bool,
    answered: bool,
}

/// The next action of a server that offers TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferStep {
    /// Read exactly this many bytes, and pass these bytes to [`TlsOffer::received`].
    Read(usize),
    /// Send this byte, then call [`TlsOffer::sent`].
    Send(u8),
    /// Perform the TLS handshake. The bytes of [`TlsOffer::taken`] are the beginning of the handshake.
    Upgrade,
    /// Continue without TLS. The bytes of [`TlsOffer::taken`] begin the first packet.
    Clear,
}

impl TlsOffer {
    /// Creates the state machine for a connection from which nothing has been read.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes that the state machine has read from the client: the beginning of the TLS handshake or of the first packet.
    pub fn taken(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether the client began with TLS, without a request.
    pub fn is_direct(&self) -> bool {
        self.taken().first() == Some(&TLS_HANDSHAKE)
    }

    /// Whether a GSSENCRequest has been declined. If true, call [`Accept::gss_declined`](crate::accept::Accept::gss_declined), so that a
    /// second GSSENCRequest is rejected.
    pub fn gss_declined(&self) -> bool {
        self.gss_declined
    }

    /// Returns the next action of the caller.
    pub fn step(&self) -> OfferStep {
        match self.taken() {
            [] if self.answered => OfferStep::Upgrade,
            // Read only one byte: if this byte begins a ClientHello, the TLS library must read all following bytes itself.
            [] => OfferStep::Read(1),
            [TLS_HANDSHAKE, ..] => OfferStep::Upgrade,
            taken if taken.len() < REQUEST_LEN => OfferStep::Read(REQUEST_LEN - taken.len()),
            taken => match request(taken) {
                Some(Initial::Ssl(SslRequest {})) => OfferStep::Send(b'S'),
                Some(Initial::GssEnc(GssEncRequest {})) if !self.gss_declined => OfferStep::Send(b'N'),
                _ => OfferStep::Clear,
            },
        }
    }

    /// Stores the bytes that [`OfferStep::Read`] has asked for; any further bytes are ignored.
    pub fn received(&mut self, bytes: &[u8]) {
        for (space, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *space = *byte;
            self.len += 1;
        }
    }

    /// Reports that the byte of [`OfferStep::Send`] has been sent.
    pub fn sent(&mut self) {
        match self.step() {
            OfferStep::Send(b'S') => self.answered = true,
            OfferStep::Send(_) => self.gss_declined = true,
            _ => return,
        }
        self.len = 0;
    }
}

/// The SSLRequest or GSSENCRequest in a packet of eight bytes, if the packet is such a request.
fn request(packet: &[u8]) -> Option<Initial<'_>> {
    let body = packet.strip_prefix(&[0, 0, 0, REQUEST_LEN as u8])?;
    Initial::decode(body).ok()
}

/// Runs a [`TlsOffer`] over a new stream, from which no bytes have been read. Returns the state machine at [`OfferStep::Upgrade`] or
/// [`OfferStep::Clear`].
///
/// # Errors
/// The stream's own error, or the end of the stream.
pub async fn receive_offer(stream: &mut impl Transport) -> io::Result<TlsOffer> {
    let mut offer = TlsOffer::new();
    loop {
        match offer.step() {
            OfferStep::Read(count) => {
                let mut space = [0; REQUEST_LEN];
                let space = space.get_mut(..count).unwrap_or_default();
                read_exact(stream, space).await?;
                offer.received(space);
            }
            OfferStep::Send(answer) => {
                write_all(stream, &[answer]).await?;
                offer.sent();
            }
            OfferStep::Upgrade | OfferStep::Clear => return Ok(offer),
        }
    }
}

/// The reason why TLS did not begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The server has no TLS, but `sslmode` demands TLS.
    Refused,
    /// The server answered the SSLRequest with an error message. The message is not read, because anybody could have sent it.
    ServerFailed,
    /// The answer to the SSLRequest is a byte other than `S`, `N` and `E`.
    Answer(u8),
    /// ALPN agreed on a protocol other than `postgresql`. Or TLS began without an SSLRequest, and ALPN agreed on no protocol.
    Alpn(Option<Box<[u8]>>),
    /// `sslmode` demands TLS, but the program has no TLS library.
    Unavailable,
    /// The connection failed before TLS began.
    Io(io::Error),
    /// The TLS library reports a failure: an alert of the peer, an untrusted certificate, a setting that the library does not support.
    Handshake(io::Error),
}

impl TlsError {
    /// Returns true if a TLS setting cannot be applied, for example because a file cannot be read. See [`TlsConnect::upgrade`].
    pub(crate) fn is_of_settings(&self) -> bool {
        use io::ErrorKind::{
            InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied, Unsupported,
        };
        let kinds = [InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied, Unsupported];
        matches!(self, Self::Handshake(error) if kinds.contains(&error.kind()))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the server does not support TLS, but sslmode demands it"),
            Self::ServerFailed => f.write_str(
                "the server answered the request for TLS with an error message, which is not shown because anybody could have sent it; see the server's log",
            ),
            Self::Answer(byte) => write!(
                f,
                "the server answered the request for TLS with '{}' instead of S or N: is it a PostgreSQL server?",
                byte.escape_ascii()
            ),
            Self::Alpn(Some(protocol)) => write!(
                f,
                "TLS agreed on the protocol \"{}\" instead of \"postgresql\" (ALPN)",
                protocol.escape_ascii()
            ),
            Self::Alpn(None) => f.write_str(
                "TLS agreed on no protocol (ALPN), but direct TLS requires \"postgresql\": PostgreSQL supports direct TLS since version 17",
            ),
            Self::Unavailable => f.write_str(
                "sslmode demands TLS, but the program has no TLS library: enable the TLS feature of the pg-stream crate",
            ),
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection instead of answering the request for TLS")
            }
            Self::Io(error) => write!(f, "the connection failed before TLS began: {error}"),
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::Handshake(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pg_wire::Encode;
    use pg_wire::testing::{Script, block_on};

    #[test]
    fn the_request_equals_the_encoded_message() {
        let mut message = Vec::new();
        SslRequest {}.encode(&mut message).expect("a message without fields");
        assert_eq!(message, TlsStart::REQUEST);
    }

    fn outcome(required: bool, answer: &[u8]) -> (Result<bool, TlsError>, Vec<u8>) {
        let mut server = Script::sends(answer);
        let start = TlsStart::new(SslNegotiation::Postgres, required);
        let outcome = block_on(negotiate(&mut server, start));
        (outcome, server.received().to_vec())
    }

    #[test]
    fn each_answer_to_an_ssl_request_has_the_expected_outcome() {
        for (required, answer, expected) in [
            (false, &b"S"[..], "Ok(true)"),
            (true, b"S", "Ok(true)"),
            (false, b"N", "Ok(false)"),
            (true, b"N", "Err(Refused)"),
            (false, b"E", "Err(ServerFailed)"),
            (false, b"H", "Err(Answer(72))"),
            (false, b"\0", "Err(Answer(0))"),
            (false, b"G", "Err(Answer(71))"),
        ] {
            let (outcome, sent) = outcome(required, answer);
            assert_eq!(format!("{outcome:?}"), expected, "{required} {answer:?}");
            assert_eq!(sent, TlsStart::REQUEST);
        }
        let (closed, _) = outcome(false, b"");
        let closed = closed.expect_err("there is no answer").to_string();
        assert_eq!(closed, "the server closed the connection instead of answering the request for TLS");
    }

    #[test]
    fn exactly_one_byte_is_read_after_the_request() {
        let mut server = Script::sends(b"SE\0\0\0\x05\0");
        let start = TlsStart::new(SslNegotiation::Postgres, true);
        assert!(block_on(negotiate(&mut server, start)).expect("the server has TLS"));
        let mut rest = [0; 6];
        block_on(read_exact(&mut server, &mut rest)).expect("the other bytes are still in the stream");
        assert_eq!(&rest, b"E\0\0\0\x05\0");
    }

    #[test]
    fn direct_tls_sends_and_reads_nothing_in_clear() {
        let mut server = Script::sends(b"N");
        let start = TlsStart::new(SslNegotiation::Direct, true);
        assert!(block_on(negotiate(&mut server, start)).expect("no request is sent"));
        assert_eq!(server.received(), b"");
    }

    #[test]
    fn direct_tls_requires_the_protocol_name_of_alpn() {
        let agreed = |name: Option<&[u8]>| Upgraded::new(()).info.with(name);
        assert!(check_alpn(true, &agreed(Some(b"postgresql"))).is_ok());
        assert!(check_alpn(false, &agreed(None)).is_ok());
        assert!(matches!(check_alpn(true, &agreed(None)), Err(TlsError::Alpn(None))));
        for direct in [true, false] {
            let error = check_alpn(direct, &agreed(Some(b"h2"))).expect_err("another protocol");
            assert_eq!(
                error.to_string(),
                "TLS agreed on the protocol \"h2\" instead of \"postgresql\" (ALPN)"
            );
        }
    }

    impl TlsInfo {
        fn with(mut self, name: Option<&[u8]>) -> Self {
            self.alpn = name.map(<[u8]>::to_vec);
            self
        }
    }

    /// Runs a `TlsOffer` with a client that sends these bytes. Returns the next action, the bytes that the server has taken, and the bytes
    /// that the server has sent.
    fn offered(client: &[u8]) -> (OfferStep, Vec<u8>, Vec<u8>) {
        let mut stream = Script::sends(client);
        let offer = block_on(receive_offer(&mut stream)).expect("the packet is complete");
        (offer.step(), offer.taken().to_vec(), stream.received().to_vec())
    }

    #[test]
    fn a_server_distinguishes_the_kinds_of_first_packets() {
        const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
        const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
        const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0me\0\0";
        let hello = b"\x16\x03\x01";
        let first = &STARTUP[..8];
        for (client, step, taken, sent) in [
            (&hello[..], OfferStep::Upgrade, &b"\x16"[..], &b""[..]),
            (SSL, OfferStep::Upgrade, b"", b"S"),
            (&[GSS, SSL].concat(), OfferStep::Upgrade, b"", b"NS"),
            (STARTUP, OfferStep::Clear, first, b""),
            (&[GSS, STARTUP].concat(), OfferStep::Clear, first, b"N"),
            // The state machine does not answer the client's second GSSENCRequest. `Accept` processes this request, and returns an error.
            (&[GSS, GSS].concat(), OfferStep::Clear, GSS, b"N"),
        ] {
            assert_eq!(offered(client), (step, taken.to_vec(), sent.to_vec()), "{client:?}");
        }
    }
}
