//! The opening phase of a connection: from the client's first packet to AuthenticationOk.

use std::io;

use pg_auth::Link;
use pg_auth::scram::SCRAM_SHA_256_PLUS;
use pg_auth::stream::read_exact;
use pg_wire::backend::{Authentication, Backend};
use pg_wire::frontend::{CancelRequest, GssEncRequest, Initial, ProtocolVersion, SslRequest};
use pg_wire::{Direction, Encode, Error, Frame, Limits, MessageCode, Text, codec::Terminated};
use zeroize::Zeroizing;

use crate::address::{Connection, Socket};
use crate::arguments::Tls;
use crate::failure::{Failure, Party};
use crate::inspector::{Inspector, Response};
use crate::openings::Place;
use crate::session::Context;

/// Size of one read and of an idle buffer, in bytes. The size is small, because the peers are not authenticated.
const READ_SIZE: usize = 1024;

/// Largest number of bytes that the proxy buffers from a client that does not wait for answers. Above this limit, the proxy does not read
/// from the client. The limit is higher than the length of the longest first packet.
const EARLY: usize = 12 * 1024;

/// Limits on the client's messages. The longest message of a client in this phase is a GSSAPI token.
const CLIENT: Limits =
    Limits::FRONTEND.bulk(65_536).read_ahead(2 * EARLY).read_size(READ_SIZE).write_retain(0);

/// Limits on the server's messages, the same as in libpq.
const SERVER: Limits = Limits::BACKEND.before_authentication().read_size(READ_SIZE).write_retain(0);

/// The first byte of a TLS handshake. A packet of the protocol cannot begin with this byte: the packet would begin with a length of at
/// least 369 MB.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection in its opening phase.
///
/// Its buffers overwrite consumed bytes, and all of their memory when they are dropped. So no password stays in memory after this phase,
/// even after a failure.
pub(crate) struct Opening<'c> {
    context: &'c Context,
    /// The entry of this connection in the list of connections in their opening phase. The entry records whether the client or the server
    /// has to send the next message.
    place: &'c Place,
    client: Connection,
    server: Option<Connection>,
    /// The client's packet, which is passed on to the server. The bytes are overwritten when the packet is dropped, because a CancelRequest
    /// contains a secret key.
    packet: Zeroizing<Vec<u8>>,
    front: Inspector<'c>,
    back: Inspector<'c>,
    /// Whether the client can still send. False after the client has half-closed its connection.
    client_sends: bool,
    /// Whether the client has sent its start-up message. From then on, the client expects messages from the server.
    asked: bool,
}

/// Outcome of an opening phase. It decides how the connection continues.
pub(crate) enum Opened {
    /// The server has authenticated the client.
    Session,
    /// The rest of the connection cannot be decoded: it is encrypted, or uses a protocol version before 3.
    Opaque,
    /// The connection has ended: the client was rejected, sent a CancelRequest, or disconnected.
    Over,
}

/// The next input from a client that has not sent its start-up message yet.
enum First {
    /// A packet. Its content is in `Opening::packet`.
    Packet,
    Tls,
    /// The end of the stream, without a complete packet.
    End,
}

/// The kind of request in a client's packet.
enum Request {
    Encryption(&'static Encryption),
    Cancel,
    /// A start-up message, or a packet that the proxy does not understand. Both are passed on to the server.
    Session,
    /// A packet of a protocol version before 3, which has another layout.
    Ancient,
}

/// A kind of encryption that a client can request.
struct Encryption {
    code: ProtocolVersion,
    /// The name that a trace shows for the server's answer to the request for encryption.
    answer: &'static str,
    /// The byte with which a server accepts the request for this encryption.
    yes: u8,
    /// The name of the encryption in PostgreSQL's error texts.
    name: &'static str,
}

const TLS: Encryption =
    Encryption { code: SslRequest::REQUEST, answer: "SSLResponse", yes: b'S', name: "SSL" };

const GSS: Encryption = Encryption {
    code: GssEncRequest::REQUEST,
    answer: "GSSENCResponse",
    yes: b'G',
    name: "GSSAPI encryption",
};

impl<'c> Opening<'c> {
    /// Creates the opening phase for a client that has just connected. `taken` are the bytes that have already been read from the client.
    pub(crate) fn new(context: &'c Context, place: &'c Place, client: Socket, taken: &[u8]) -> Self {
        let mut client = unauthenticated(client, CLIENT);
        client.inbox_mut().extend(taken);
        Self {
            context,
            place,
            client,
            server: None,
            packet: Zeroizing::default(),
            front: Inspector::wiping(context, Direction::Frontend),
            back: Inspector::wiping(context, Direction::Backend),
            client_sends: true,
            asked: false,
        }
    }

    /// Runs the opening phase to its end.
    pub(crate) async fn run(&mut self) -> Result<Opened, Failure> {
        let refuses = self.context.proxy.tls != Tls::Passthrough;
        // Codes of the requests for encryption that the proxy has declined without passing them on to the server.
        let mut declined = Vec::new();
        let mut unreachable = None;
        loop {
            self.place.waits_for_client();
            match self.first().await? {
                First::Packet => {}
                // Direct TLS is valid only at the start of a connection, not after a request for encryption.
                First::Tls if !refuses && self.server.is_none() && declined.is_empty() => {
                    self.server = Some(self.dial().await?.map_err(Failure::Unreachable)?);
                    return Ok(Opened::Opaque);
                }
                First::Tls | First::End => return unreachable.map_or(Ok(Opened::Over), Err),
            }
            self.place.waits_for_server();
            let request = self.request();
            if self.server.is_none() && unreachable.is_none() && !(refuses && request.is_encryption()) {
                match self.dial().await? {
                    Ok(server) => self.server = Some(server),
                    // The server cannot be reached. libpq does not show an error that it receives instead of the answer to a request for
                    // encryption. So the proxy declines the request, and sends the error after the start-up message.
                    Err(error) => unreachable = Some(Failure::Unreachable(error)),
                }
            }
            if let Request::Encryption(encryption) = request
                && self.server.is_none()
            {
                // PostgreSQL treats a second request for the same kind of encryption as an unsupported protocol version.
                if declined.contains(&encryption.code) {
                    return Err(Failure::Unsupported(encryption.code));
                }
                declined.push(encryption.code);
                self.decline(encryption).await?;
                continue;
            }
            self.asked = matches!(request, Request::Session);
            if let Some(failure) = unreachable {
                return Err(failure);
            }
            self.pass_packet().await?;
            let Request::Encryption(encryption) = request else {
                return match request {
                    Request::Ancient => Ok(Opened::Opaque),
                    _ => self.authenticate().await,
                };
            };
            match self.answer().await? {
                b'N' => self.decline(encryption).await?,
                yes if yes == encryption.yes => {
                    self.reply(encryption, yes).await?;
                    return Ok(Opened::Opaque);
                }
                // The byte is the beginning of an ErrorResponse: the server is too old to know the request, or has too many connections.
                b'E' => {
                    if let Some(server) = &mut self.server {
                        server.inbox_mut().extend(b"E");
                    }
                    return self.authenticate().await;
                }
                strange => return Err(Failure::StrangeAnswer(strange)),
            }
        }
    }

    /// Whether the proxy may send an error to the client: the client has sent its start-up message, and no message to the client is
    /// incomplete.
    pub(crate) fn expects_messages(&self) -> bool {
        self.asked && self.client.outbox().is_empty()
    }

    /// Returns the connections to the client and to the server, which may still contain received bytes. If `session` is true, overwrites
    /// remains of passwords, and sets the limits of a session.
    pub(crate) fn into_connections(mut self, session: bool) -> (Connection, Option<Connection>) {
        if session {
            admit(&mut self.client, Limits::FRONTEND);
            self.server.iter_mut().for_each(|server| admit(server, Limits::BACKEND));
        }
        (self.client, self.server)
    }

    /// Waits until the client sends a packet, starts TLS or ends its stream.
    async fn first(&mut self) -> Result<First, Failure> {
        loop {
            if self.client.inbox().peek().first() == Some(&TLS_HANDSHAKE) {
                return Ok(First::Tls);
            }
            let packet = self.client.inbox_mut().next_packet(Initial::MAX_LENGTH);
            if let Some(packet) = packet.map_err(Failure::PacketLength)? {
                self.packet.clear();
                self.packet.extend_from_slice(packet);
                return Ok(First::Packet);
            }
            if !self.client_sends {
                return Ok(First::End);
            }
            hear(&mut self.client, &mut self.client_sends).await?;
        }
    }

    /// Decodes the packet that [`first`](Self::first) has received. Only the code decides the kind of the request, because PostgreSQL
    /// accepts a request for encryption with any body.
    ///
    /// A malformed packet is reported and passed on to the server, which may reject it.
    fn request(&mut self) -> Request {
        let version = self.packet.first_chunk().map(|code| ProtocolVersion(u32::from_be_bytes(*code)));
        let Some(version) = version else { return Request::Session };
        if version < ProtocolVersion::V3_0 {
            return Request::Ancient;
        }
        match Initial::decode(&self.packet) {
            Ok(request) => self.front.message(&request, &self.packet),
            Err(error) => self.front.malformed(self.packet.len() + 4, &error),
        }
        match version {
            SslRequest::REQUEST => Request::Encryption(&TLS),
            GssEncRequest::REQUEST => Request::Encryption(&GSS),
            CancelRequest::REQUEST => Request::Cancel,
            _ => Request::Session,
        }
    }

    /// Connects to the server. The attempt ends if the client resets its connection in the meantime.
    async fn dial(&mut self) -> Result<io::Result<Connection>, Failure> {
        let proxy = &self.context.proxy;
        let dial = proxy.upstream.dial(proxy.keepalive_idle, proxy.upstream_tls.as_ref());
        tokio::pin!(dial);
        loop {
            tokio::select! {
                socket = &mut dial => {
                    let socket = socket.and_then(|socket| match &self.context.faults {
                        Some(relays) => relays.server(socket),
                        None => Ok(socket),
                    });
                    return Ok(socket.map(|socket| unauthenticated(socket, SERVER)));
                }
                heard = hear(&mut self.client, &mut self.client_sends), if self.client_sends
                    && self.client.inbox().buffered() < EARLY => heard?,
            }
        }
    }

    /// Sends the client's packet to the server.
    async fn pass_packet(&mut self) -> Result<(), Failure> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let length = u32::try_from(self.packet.len() + 4).unwrap_or(u32::MAX);
        server.outbox_mut().put_raw(&length.to_be_bytes());
        server.outbox_mut().put_raw(&self.packet);
        send(server, Party::Server).await
    }

    /// Reads the server's one-byte answer to a request for encryption. Does not read further, because the bytes after the answer may be
    /// encrypted.
    async fn answer(&mut self) -> Result<u8, Failure> {
        let Self { client, server: Some(server), client_sends, .. } = self else {
            return Err(Failure::Gone(Party::Server));
        };
        let (mut answer, mut finished) = ([0], false);
        loop {
            // The client has half-closed its connection. The proxy half-closes the connection to the server too: a server that waits for
            // more bytes would never answer.
            if !*client_sends && client.inbox().buffered() == 0 && !std::mem::replace(&mut finished, true) {
                finish(server).await?;
            }
            tokio::select! {
                read = read_exact(server.transport_mut(), &mut answer) => {
                    return read.map(|()| answer[0]).map_err(|_| Failure::Gone(Party::Server));
                }
                heard = hear(client, client_sends), if *client_sends && client.inbox().buffered() < EARLY => heard?,
            }
        }
    }

    /// Sends the client a one-byte answer to its request for encryption.
    async fn reply(&mut self, encryption: &Encryption, answer: u8) -> Result<(), Failure> {
        self.context.trace.answer(encryption.answer, answer);
        self.context.trace.flush();
        self.client.outbox_mut().put_raw(&[answer]);
        send(&mut self.client, Party::Client).await
    }

    /// Declines a request for encryption.
    async fn decline(&mut self, encryption: &Encryption) -> Result<(), Failure> {
        // Bytes that arrived before the answer may come from an attacker instead of the client. The proxy rejects them, as PostgreSQL does.
        let early = self.client.inbox().buffered() > 0;
        self.reply(encryption, b'N').await?;
        if early { Err(Failure::Unencrypted(encryption.name)) } else { Ok(()) }
    }

    /// Passes messages on until the server sends AuthenticationOk or closes its connection.
    async fn authenticate(&mut self) -> Result<Opened, Failure> {
        let Self { place, client, server: Some(server), front, back, client_sends, .. } = self else {
            return Ok(Opened::Over);
        };
        let mut expected = None;
        let mut finished = false;
        let server_link = server.transport().link();
        loop {
            while let Some(frame) = server.try_recv().map_err(|error| unreadable(Party::Server, error))? {
                match without_binding(&frame, client.transport().link(), server_link) {
                    Some(offer) => client.outbox_mut().put_raw(&offer),
                    None => drop(client.put(&frame)),
                }
                match frame.backend() {
                    Ok(message) => {
                        back.message(&message, frame.body);
                        if let Backend::Authentication(request) = message {
                            expected = Response::to(&request);
                            if request == Authentication::Ok {
                                send(client, Party::Client).await?;
                                return Ok(Opened::Session);
                            }
                        }
                    }
                    Err(error) => {
                        back.malformed(frame.body.len() + 4, &error);
                        if frame.code == MessageCode::AUTHENTICATION {
                            expected = Some(Response::Any);
                        }
                    }
                }
            }
            send(client, Party::Client).await?;
            // A response is decoded only after the server's request, because the request decides the kind of the response.
            if let Some(response) = expected
                && let Some(frame) = client.try_recv().map_err(|error| unreadable(Party::Client, error))?
            {
                front.response(frame, response);
                server.put(&frame);
                wipe_stack();
                expected = None;
            }
            send(server, Party::Server).await?;
            if !*client_sends && !std::mem::replace(&mut finished, true) {
                // The client has half-closed its connection, and all of its bytes have arrived. They are passed on. Then the proxy
                // half-closes the connection to the server: a server that waits for more bytes might never answer.
                while let Ok(Some(frame)) = client.try_recv() {
                    front.response(frame, expected.take().unwrap_or(Response::Any));
                    server.put(&frame);
                    wipe_stack();
                }
                server.outbox_mut().put_raw(client.inbox().peek());
                client.inbox_mut().wipe();
                finish(server).await?;
            }
            // Largest number of bytes that are buffered from the client. A response to an authentication request may be long. Without an
            // authentication request, the client has no reason to send anything, so the limit is small.
            let most = if expected.is_some() { CLIENT.authentication + 5 } else { EARLY };
            if expected.is_some() {
                place.waits_for_client()
            } else {
                place.waits_for_server()
            }
            tokio::select! {
                filled = server.fill() => if filled.is_err() {
                    // The server has closed its connection, perhaps in the middle of a message. Received bytes of an incomplete message are
                    // passed on.
                    client.outbox_mut().put_raw(server.inbox().peek());
                    send(client, Party::Client).await?;
                    return Ok(Opened::Over);
                },
                heard = hear(client, client_sends), if *client_sends && client.inbox().buffered() < most => heard?,
            }
        }
    }
}

/// Returns the server's list of SASL mechanisms without SCRAM-SHA-256-PLUS. This mechanism binds the login to the client's TLS connection,
/// so a client without TLS cannot use it.
///
/// Returns `None` for any other message, for a client with TLS, and for a server without TLS.
fn without_binding(frame: &Frame<'_>, client: Link, server: Link) -> Option<Vec<u8>> {
    if client == Link::Tls || server != Link::Tls || frame.code != MessageCode::AUTHENTICATION {
        return None;
    }
    let Ok(Backend::Authentication(Authentication::Sasl(offered))) = frame.backend() else { return None };
    let kept: Vec<Text<'_>> = offered.iter().filter(|name| *name != SCRAM_SHA_256_PLUS).collect();
    let mut message = Vec::new();
    Authentication::Sasl(Terminated::from(&kept[..])).encode(&mut message).ok()?;
    Some(message)
}

impl Request {
    fn is_encryption(&self) -> bool {
        matches!(self, Self::Encryption(_))
    }
}

/// Creates a connection to a peer that is not authenticated.
fn unauthenticated(socket: Socket, limits: Limits) -> Connection {
    let mut connection = Connection::new(socket, limits);
    connection.inbox_mut().set_wiping(true);
    connection.outbox_mut().set_wiping(true);
    connection
}

/// Prepares a connection for the session: overwrites old bytes, stops overwriting consumed bytes, and sets the limits of a session.
fn admit(connection: &mut Connection, limits: Limits) {
    connection.scrub();
    connection.inbox_mut().set_wiping(false);
    connection.outbox_mut().set_wiping(false);
    connection.set_limits(limits);
}

/// Reads from the client. At the end of the client's stream, sets `sends` to false, and returns no error: the client may still receive.
async fn hear(client: &mut Connection, sends: &mut bool) -> Result<(), Failure> {
    match client.fill().await {
        Ok(()) => Ok(()),
        Err(Error::Closed { .. }) => {
            *sends = false;
            Ok(())
        }
        Err(_) => Err(Failure::Gone(Party::Client)),
    }
}

/// Overwrites the part of the stack that earlier calls have used. Unoptimised code leaves pieces of a password on the stack. If a struct is
/// later built over such a piece, the padding of the struct contains the piece. When the struct moves to the heap, the piece is copied to
/// the heap too.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box([0u8; 32 * 1024]);
}

/// Sends the bytes in the outbox of a connection.
async fn send(to: &mut Connection, party: Party) -> Result<(), Failure> {
    to.flush().await.map_err(|_| Failure::Gone(party))
}

/// Half-closes the connection to the server. PostgreSQL then ends the login.
async fn finish(server: &mut Connection) -> Result<(), Failure> {
    server.close().await.map_err(|_| Failure::Gone(Party::Server))
}

fn unreadable(party: Party, error: Error) -> Failure {
    match error {
        Error::Frame(error) => Failure::Header(party, error),
        _ => Failure::Gone(party),
    }
}
