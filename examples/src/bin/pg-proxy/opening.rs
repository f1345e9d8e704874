//! From the client's first packet to AuthenticationOk.

use pg_auth::stream::read_exact;
use pg_stream_tokio::{Connection, Limits, Socket};
use pg_wire::backend::{Authentication, Backend};
use pg_wire::frontend::{GssEncRequest, Initial, ProtocolVersion, SslRequest};
use pg_wire::{Direction, Error};

use crate::arguments::Tls;
use crate::failure::{Failure, Party};
use crate::inspector::{Inspector, Response};
use crate::session::Context;

/// What a client may make us hold before it is let in: its longest word is a token of GSSAPI.
pub(crate) const CLIENT: Limits = Limits { bulk: 65_536, read_ahead: 65_536, ..Limits::FRONTEND };

/// What a server may, which the client has not found to be the right one.
const SERVER: Limits = Limits::BACKEND.before_authentication();

/// Longest first packet: as PostgreSQL has it, 10,000 bytes behind the length field.
const LONGEST_PACKET: usize = 10_004;

/// The first byte of TLS. As the first byte of a length it would announce 369 MB.
const TLS_HANDSHAKE: u8 = 0x16;

/// What the opening has come to.
pub(crate) enum Opened {
    /// The client is let in, by this server.
    Session(Connection<Socket>),
    /// From here on client and server speak what we do not: they are encrypted, or older than version 3.
    Opaque(Connection<Socket>),
    /// Nothing: the client is refused, or has only asked for something to be cancelled, or is gone.
    Over,
}

/// What a client begins with, as far as it has come.
enum First {
    Packet(Vec<u8>),
    Tls,
    /// Nothing whole, and nothing will.
    End,
}

/// What a packet asks for.
enum Asked {
    Encryption(&'static Encryption),
    ToBeLetIn,
    /// Something in a version older than 3, which may have another layout.
    Unknown,
}

/// A kind of encryption that a client can ask for.
struct Encryption {
    code: ProtocolVersion,
    /// In a trace, the name of the answer.
    answer: &'static str,
    /// The byte that says yes.
    yes: u8,
    /// In PostgreSQL's words.
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

/// Begins with a client who has just connected, up to where it is let in.
pub(crate) async fn open(context: &Context, client: &mut Connection<Socket>) -> Result<Opened, Failure> {
    let tls = context.proxy.tls;
    let mut front = Inspector::new(context, Direction::Frontend);
    let mut upstream = None;
    let mut refused = Vec::new();
    loop {
        let packet = match first(client).await? {
            First::Packet(packet) => packet,
            // Only as the very first thing: behind a request it comes too late.
            First::Tls if tls == Tls::Passthrough && upstream.is_none() => {
                return dial(context).await.map(Opened::Opaque);
            }
            First::Tls | First::End => return Ok(Opened::Over),
        };
        let asked = asked(&packet, &mut front)?;
        if let Asked::Encryption(encryption) = asked
            && tls == Tls::Refuse
        {
            // A second request of a kind is none, but a version that nobody speaks.
            if refused.contains(&encryption.code) {
                return Err(Failure::Unsupported(encryption.code));
            }
            refused.push(encryption.code);
            decline(context, client, encryption).await?;
            continue;
        }

        let mut server = match upstream.take() {
            Some(server) => server,
            None => dial(context).await?,
        };
        pass(&mut server, &packet).await?;
        let encryption = match asked {
            Asked::ToBeLetIn => return let_in(context, client, server, front).await,
            Asked::Unknown => return Ok(Opened::Opaque(server)),
            Asked::Encryption(encryption) => encryption,
        };
        match answer(&mut server).await? {
            b'N' => {
                decline(context, client, encryption).await?;
                upstream = Some(server);
            }
            yes if yes == encryption.yes => {
                reply(context, client, encryption, yes).await?;
                return Ok(Opened::Opaque(server));
            }
            // An ErrorResponse, from a server that is too old or too busy.
            b'E' => {
                server.inbox_mut().extend(b"E");
                return let_in(context, client, server, front).await;
            }
            strange => return Err(Failure::StrangeAnswer(strange)),
        }
    }
}

/// Waits for the next packet, or for what comes in its place.
async fn first(client: &mut Connection<Socket>) -> Result<First, Failure> {
    loop {
        if client.inbox().peek().first() == Some(&TLS_HANDSHAKE) {
            return Ok(First::Tls);
        }
        let packet = client.inbox_mut().next_packet(LONGEST_PACKET);
        if let Some(packet) = packet.map_err(Failure::Length)? {
            return Ok(First::Packet(packet.to_vec()));
        }
        match client.fill().await {
            Ok(()) => {}
            Err(Error::Closed { .. }) => return Ok(First::End),
            Err(_) => return Err(Failure::Gone(Party::Client)),
        }
    }
}

/// Reads a packet.
fn asked(packet: &[u8], front: &mut Inspector<'_>) -> Result<Asked, Failure> {
    let version = version_of(packet);
    if version.is_some_and(|version| version < ProtocolVersion::V3_0) {
        return Ok(Asked::Unknown);
    }
    let request = Initial::decode(packet).map_err(|error| match version {
        Some(version) if version.major() == ProtocolVersion::V3_0.major() => Failure::StartupLayout(error),
        Some(version) if version.major() != TLS.code.major() => Failure::Unsupported(version),
        _ => Failure::Request(error),
    })?;
    front.message(&request, packet);
    Ok(match request {
        Initial::Ssl(_) => Asked::Encryption(&TLS),
        Initial::GssEnc(_) => Asked::Encryption(&GSS),
        // A request to cancel is answered by the server's leaving, and so is like a session that is refused.
        _ => Asked::ToBeLetIn,
    })
}

/// The version that a packet gives, or the request that stands in its place.
fn version_of(packet: &[u8]) -> Option<ProtocolVersion> {
    packet.first_chunk().map(|code| ProtocolVersion(u32::from_be_bytes(*code)))
}

/// Passes a packet on.
async fn pass(server: &mut Connection<Socket>, packet: &[u8]) -> Result<(), Failure> {
    let length = u32::try_from(packet.len() + 4).unwrap_or(u32::MAX);
    server.outbox_mut().put_raw(&length.to_be_bytes());
    server.outbox_mut().put_raw(packet);
    send(server, Party::Server).await
}

async fn dial(context: &Context) -> Result<Connection<Socket>, Failure> {
    let socket = context.proxy.upstream.dial().await.map_err(Failure::Unreachable)?;
    Ok(Connection::new(socket, SERVER))
}

/// Sends what was put into a connection.
async fn send(to: &mut Connection<Socket>, party: Party) -> Result<(), Failure> {
    to.flush().await.map_err(|_| Failure::Gone(party))
}

/// Reads the one byte that answers a request for encryption, and no more: what follows may be encrypted.
async fn answer(server: &mut Connection<Socket>) -> Result<u8, Failure> {
    let mut answer = [0];
    let read = read_exact(server.transport_mut(), &mut answer).await;
    read.map(|()| answer[0]).map_err(|_| Failure::Gone(Party::Server))
}

/// Passes on the answer to a request for encryption.
async fn reply(
    context: &Context,
    client: &mut Connection<Socket>,
    encryption: &Encryption,
    answer: u8,
) -> Result<(), Failure> {
    context.trace.answer(encryption.answer, answer);
    context.trace.flush();
    client.outbox_mut().put_raw(&[answer]);
    send(client, Party::Client).await
}

/// Says no to a request for encryption.
async fn decline(
    context: &Context,
    client: &mut Connection<Socket>,
    encryption: &Encryption,
) -> Result<(), Failure> {
    // Who does not wait for the answer may not be the one who asked: so says PostgreSQL too.
    let hasty = client.inbox().buffered() > 0;
    reply(context, client, encryption, b'N').await?;
    if hasty { Err(Failure::Unencrypted(encryption.name)) } else { Ok(()) }
}

/// Passes on what is said until the server lets the client in, or has said all it will.
async fn let_in(
    context: &Context,
    client: &mut Connection<Socket>,
    mut server: Connection<Socket>,
    mut front: Inspector<'_>,
) -> Result<Opened, Failure> {
    let mut back = Inspector::new(context, Direction::Backend);
    let mut expected = None;
    let mut listening = true;
    loop {
        while let Some(frame) = server.try_recv().map_err(|error| unreadable(Party::Server, error))? {
            let message = frame.backend().map_err(|error| Failure::Malformed(Party::Server, error))?;
            back.message(&message, frame.body);
            client.put(&frame);
            if let Backend::Authentication(request) = message {
                expected = Response::to(&request);
                if request == Authentication::Ok {
                    send(client, Party::Client).await?;
                    // Of passwords nothing is to be left.
                    client.scrub();
                    server.scrub();
                    front.scrub();
                    back.scrub();
                    client.set_limits(Limits::FRONTEND);
                    server.set_limits(Limits::BACKEND);
                    return Ok(Opened::Session(server));
                }
            }
        }
        send(client, Party::Client).await?;
        // What a response means is known once it has been asked for.
        if let Some(response) = expected {
            match client.try_recv().map_err(|error| unreadable(Party::Client, error))? {
                Some(frame) => {
                    let verdict = front.response(frame, response);
                    verdict.map_err(|error| Failure::Malformed(Party::Client, error))?;
                    server.put(&frame);
                    expected = None;
                }
                None if listening => {}
                None => return Ok(Opened::Over),
            }
            send(&mut server, Party::Server).await?;
        }
        let room = client.inbox().buffered() < CLIENT.read_ahead;
        tokio::select! {
            filled = server.fill() => match filled {
                Ok(()) => {}
                Err(_) => {
                    // The beginning of a message, whose end will never come.
                    client.outbox_mut().put_raw(server.inbox().peek());
                    send(client, Party::Client).await?;
                    return Ok(Opened::Over);
                }
            },
            filled = client.fill(), if listening && room => match filled {
                Ok(()) => {}
                Err(Error::Closed { .. }) => listening = false,
                Err(_) => return Err(Failure::Gone(Party::Client)),
            },
        }
    }
}

fn unreadable(party: Party, error: Error) -> Failure {
    match error {
        Error::Frame(error) => Failure::OutOfStep(party, error),
        _ => Failure::Gone(party),
    }
}
