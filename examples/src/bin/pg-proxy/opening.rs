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

/// Bytes of one read, and of an idle buffer. Small, because these peers are not authenticated.
const READ_SIZE: usize = 1024;

/// Bytes of a client that are buffered before they are needed: a first packet fits in, and a client that sends more waits.
const EARLY: usize = 12 * 1024;

/// Limits on what a client may send: its longest message is a GSSAPI token.
const CLIENT: Limits =
    Limits::FRONTEND.bulk(65_536).read_ahead(2 * EARLY).read_size(READ_SIZE).write_retain(0);

/// Limits on what a server may send: those of libpq.
const SERVER: Limits = Limits::BACKEND.before_authentication().read_size(READ_SIZE).write_retain(0);

/// Longest first packet, as in PostgreSQL: 10,000 bytes after the length field.
const LONGEST_PACKET: usize = 10_004;

/// The first byte of TLS. As the first byte of a length it would announce 369 MB.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection in its opening phase.
///
/// Its buffers wipe what they give up, and all of their memory when they are dropped: no password is left, whatever way it ends.
pub(crate) struct Opening<'c> {
    context: &'c Context,
    /// Tells which side the opening waits for.
    place: &'c Place,
    client: Connection,
    server: Option<Connection>,
    /// The packet that is passed on. It may hold the key of a CancelRequest.
    packet: Zeroizing<Vec<u8>>,
    front: Inspector<'c>,
    back: Inspector<'c>,
    /// Whether the client can still send.
    client_sends: bool,
    /// Whether the client has sent its start-up message, and so expects messages.
    asked: bool,
}

/// How an opening ended.
pub(crate) enum Opened {
    /// The server has authenticated the client.
    Session,
    /// From here on client and server speak something else: they are encrypted, or older than version 3.
    Opaque,
    /// The client was refused, or asked for a statement to be cancelled, or is gone.
    Over,
}

/// The beginning of what a client sends.
enum First {
    /// A packet, taken.
    Packet,
    Tls,
    /// Nothing whole, and there will be no more.
    End,
}

/// The request in a packet.
enum Request {
    Encryption(&'static Encryption),
    Cancel,
    /// A start-up message, or a packet that only the server can judge.
    Session,
    /// A request of a version before 3, which has another layout.
    Ancient,
}

/// A kind of encryption that a client can ask for.
struct Encryption {
    code: ProtocolVersion,
    /// The name of the answer in a trace.
    answer: &'static str,
    /// The byte that says yes.
    yes: u8,
    /// The name in PostgreSQL's error texts.
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
    /// An opening with a client that has just connected, and of which these bytes have been read.
    pub(crate) fn new(context: &'c Context, place: &'c Place, client: Socket, taken: &[u8]) -> Self {
        let mut client = stranger(client, CLIENT);
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

    /// Runs the opening to its end.
    pub(crate) async fn run(&mut self) -> Result<Opened, Failure> {
        let refuses = self.context.proxy.tls != Tls::Passthrough;
        // Requests that we have answered ourselves.
        let mut declined = Vec::new();
        let mut unreachable = None;
        loop {
            self.place.waits_for_client();
            match self.first().await? {
                First::Packet => {}
                // Only as the very first bytes: after a request for encryption this is too late.
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
                    // A client in the middle of this request could not show an error to its user: libpq discards the text. So the
                    // answer is no, and the client hears the reason once it has sent its start-up message.
                    Err(error) => unreachable = Some(Failure::Unreachable(error)),
                }
            }
            if let Request::Encryption(encryption) = request
                && self.server.is_none()
            {
                // A second request of the same kind is a version that does not exist.
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
                // An ErrorResponse, from a server that is too old or too busy.
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

    /// Whether the client can be sent an error: it has asked for a session, and was not sent half a message.
    pub(crate) fn expects_messages(&self) -> bool {
        self.asked && self.client.outbox().is_empty()
    }

    /// Both connections. For a session they get its limits and lose what is left of passwords; bytes that arrived early are kept.
    pub(crate) fn into_connections(mut self, session: bool) -> (Connection, Option<Connection>) {
        if session {
            admit(&mut self.client, Limits::FRONTEND);
            self.server.iter_mut().for_each(|server| admit(server, Limits::BACKEND));
        }
        (self.client, self.server)
    }

    /// Waits for the client's next packet, or for what arrives in its place.
    async fn first(&mut self) -> Result<First, Failure> {
        loop {
            if self.client.inbox().peek().first() == Some(&TLS_HANDSHAKE) {
                return Ok(First::Tls);
            }
            let packet = self.client.inbox_mut().next_packet(LONGEST_PACKET);
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

    /// Reads the packet that [`first`](Self::first) has taken. One that cannot be decoded is the server's to judge, unless it is a
    /// request for encryption, which the server accepts with any body.
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

    /// Connects to the server. Meanwhile a client that resets its connection ends the attempt.
    async fn dial(&mut self) -> Result<io::Result<Connection>, Failure> {
        let proxy = &self.context.proxy;
        let dial = proxy.upstream.dial(proxy.keepalive_idle, proxy.upstream_tls.as_ref());
        tokio::pin!(dial);
        loop {
            tokio::select! {
                socket = &mut dial => {
                    return Ok(socket.map(|socket| stranger(socket, SERVER)));
                }
                heard = hear(&mut self.client, &mut self.client_sends), if self.client_sends
                    && self.client.inbox().buffered() < EARLY => heard?,
            }
        }
    }

    /// Passes the packet on.
    async fn pass_packet(&mut self) -> Result<(), Failure> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let length = u32::try_from(self.packet.len() + 4).unwrap_or(u32::MAX);
        server.outbox_mut().put_raw(&length.to_be_bytes());
        server.outbox_mut().put_raw(&self.packet);
        send(server, Party::Server).await
    }

    /// Waits for the one byte that answers a request for encryption, and reads no more: what follows may be encrypted.
    async fn answer(&mut self) -> Result<u8, Failure> {
        let Self { client, server: Some(server), client_sends, .. } = self else {
            return Err(Failure::Gone(Party::Server));
        };
        let (mut answer, mut finished) = ([0], false);
        loop {
            // Nothing follows the request, and the server need not answer it.
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

    /// Passes on the answer to a request for encryption.
    async fn reply(&mut self, encryption: &Encryption, answer: u8) -> Result<(), Failure> {
        self.context.trace.answer(encryption.answer, answer);
        self.context.trace.flush();
        self.client.outbox_mut().put_raw(&[answer]);
        send(&mut self.client, Party::Client).await
    }

    /// Answers a request for encryption with no.
    async fn decline(&mut self, encryption: &Encryption) -> Result<(), Failure> {
        // Bytes that did not wait for the answer may come from somebody else than the client: PostgreSQL refuses them, too.
        let hasty = self.client.inbox().buffered() > 0;
        self.reply(encryption, b'N').await?;
        if hasty { Err(Failure::Unencrypted(encryption.name)) } else { Ok(()) }
    }

    /// Passes messages on until the server sends AuthenticationOk or ends.
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
            // The meaning of a response is known once the server has asked for it.
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
                // Whatever the client had to send is here. The server must not wait for more: it may never answer.
                while let Ok(Some(frame)) = client.try_recv() {
                    front.response(frame, expected.take().unwrap_or(Response::Any));
                    server.put(&frame);
                    wipe_stack();
                }
                server.outbox_mut().put_raw(client.inbox().peek());
                client.inbox_mut().wipe();
                finish(server).await?;
            }
            // A response may be long; without a request for one, the client has nothing to send yet.
            let most = if expected.is_some() { CLIENT.authentication + 5 } else { EARLY };
            if expected.is_some() {
                place.waits_for_client()
            } else {
                place.waits_for_server()
            }
            tokio::select! {
                filled = server.fill() => if filled.is_err() {
                    // The beginning of a message, whose end will never arrive.
                    client.outbox_mut().put_raw(server.inbox().peek());
                    send(client, Party::Client).await?;
                    return Ok(Opened::Over);
                },
                heard = hear(client, client_sends), if *client_sends && client.inbox().buffered() < most => heard?,
            }
        }
    }
}

/// The server's offer of SASL mechanisms without channel binding, for a client in clear: the server offers it because it has TLS, and
/// the client has none to be bound to.
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

/// A connection to a peer that is not authenticated.
fn stranger(socket: Socket, limits: Limits) -> Connection {
    let mut connection = Connection::new(socket, limits);
    connection.inbox_mut().set_wiping(true);
    connection.outbox_mut().set_wiping(true);
    connection
}

/// Makes a connection one of a session.
fn admit(connection: &mut Connection, limits: Limits) {
    connection.scrub();
    connection.inbox_mut().set_wiping(false);
    connection.outbox_mut().set_wiping(false);
    connection.set_limits(limits);
}

/// Reads from the client. Its end clears `sends`; the answer may still reach it.
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

/// Overwrites the part of the stack that the calls before this one have used. Unoptimised code keeps pieces of a password there, and the
/// next structs that are built in the same place carry them to the heap in their padding.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box([0u8; 32 * 1024]);
}

/// Sends the bytes that were put into a connection.
async fn send(to: &mut Connection, party: Party) -> Result<(), Failure> {
    to.flush().await.map_err(|_| Failure::Gone(party))
}

/// Tells the server that the client sends no more. PostgreSQL then ends a login by itself.
async fn finish(server: &mut Connection) -> Result<(), Failure> {
    server.close().await.map_err(|_| Failure::Gone(Party::Server))
}

fn unreadable(party: Party, error: Error) -> Failure {
    match error {
        Error::Frame(error) => Failure::Header(party, error),
        _ => Failure::Gone(party),
    }
}
