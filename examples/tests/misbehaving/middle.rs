//! A man in the middle (the attacker): the secrets that he receives in each attack from each client.
//!
//! | client | settings |
//! | --- | --- |
//! | full | `sslmode=verify-full` with `sslrootcert` |
//! | ca | `sslmode=verify-ca` with `sslrootcert` |
//! | bound | `sslmode=require channel_binding=require` |
//! | scram | `sslmode=require require_auth=scram-sha-256` |
//! | prefer | the defaults: `sslmode=prefer` |
//! | p+scram | `require_auth=scram-sha-256` |
//! | p+bound | `channel_binding=require` |
//!
//! Each client has a password and a source of bearer tokens. The table in the test has an entry for each pair of attack and client. The
//! letters of an entry show what the attacker has gained:
//!
//! - `c` the password in clear text,
//! - `m` an MD5 response: valid for one login with the same salt, and useful to guess the password,
//! - `p` a SCRAM proof: valid for no login, but useful to guess the password,
//! - `t` the token,
//! - `s` a session with the client, which accepts the attacker as the server,
//! - `h` a session with the honest server in the client's name,
//! - `-` nothing.
//!
//! `full` never reveals a secret. With channel binding but without a root certificate, the attacker gets only proofs that are bound to the
//! attacker's own certificate, and the honest server rejects these proofs.
//!
//! As in libpq, settings that only prefer TLS give no protection against an active attacker. The attacker declines TLS, or makes the login
//! through TLS fail, and the client tries again without TLS. Over TCP without TLS, the client still does not send its password in clear
//! text. But through TLS, the client sends its password in clear text even if the certificate is unverified.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pg_auth::config::{AuthMethod, BindingMode, Host, RequireAuth, RootCert, SslMode};
use pg_auth::oauth::{SourceError, Token, TokenReply, TokenRequest, Tokens};
use pg_auth::{Config, ConnectErrorKind, Credentials};
use pg_stream_tokio::rustls::tokio_rustls::rustls::pki_types::ServerName;
use pg_stream_tokio::rustls::tokio_rustls::rustls::{ClientConnection, ServerConfig, StreamOwned};

use crate::adapters::{Accepting, Adapter};
use crate::certificates::made;
use crate::peer::{PASSWORD, Peer, Playing, client_first, verifier};
use crate::wire::{OK, SSL_REQUEST, auth, cleartext, md5, message, packet, sasl, welcome};

const TOKEN: &str = "mF_9.B5f-4.1JqM";

/// Selects the attack on the start of TLS.
#[derive(Clone)]
enum Start {
    /// Declines the client's request for TLS.
    Decline,
    /// Accepts the client's request for TLS, but then sends a message without TLS.
    Clear,
    /// Sends the messages of a login in clear instead of an answer to the client's request for TLS.
    Before,
    /// Accepts the client's request for TLS, sends the messages of a login in clear before the TLS handshake, and then starts TLS.
    After(Arc<ServerConfig>),
    /// Accepts the client's request for TLS, and presents the attacker's own certificate.
    Swap(Arc<ServerConfig>),
}

/// Selects the attack on the login.
#[derive(Clone, Copy)]
enum Offer {
    Cleartext,
    Md5,
    Trust,
    Scram(&'static [&'static str]),
    Token,
    /// Relays the login to the honest server, over TLS if `tls` is true. If `cut_plus` is true, removes SCRAM-SHA-256-PLUS from the
    /// mechanisms that the server offers.
    Relay {
        tls: bool,
        cut_plus: bool,
    },
}

/// Plays the attacker on one connection of the client. Even after an error, `peer.heard` contains the bytes that the attacker has received.
fn attack(peer: &mut Peer, start: &Start, offer: Offer, honest: u16) -> io::Result<()> {
    let mut first = peer.packet()?;
    if first == SSL_REQUEST[4..] {
        match start {
            Start::Decline => peer.say(b"N")?,
            Start::Clear => peer.say(b"S")?,
            Start::Before => peer.say(&welcome())?,
            Start::After(config) => {
                peer.say(&[b"S", &welcome()[..]].concat())?;
                peer.begin_tls(config.clone())?;
            }
            Start::Swap(config) => {
                peer.say(b"S")?;
                peer.begin_tls(config.clone())?;
            }
        }
        if matches!(start, Start::Clear) {
            // The attacker sends this message in place of a ServerHello.
            return peer.say(&cleartext());
        }
        first = peer.packet()?;
    }
    match offer {
        Offer::Cleartext => ask(peer, cleartext()),
        Offer::Md5 => ask(peer, md5()),
        Offer::Trust => peer.say(&welcome()),
        Offer::Token => ask(peer, sasl(&["OAUTHBEARER"])),
        Offer::Scram(mechanisms) => {
            peer.say(&sasl(mechanisms))?;
            let (_, body) = peer.message()?;
            let nonce = client_first(&body);
            let nonce = nonce.rsplit_once("r=").expect("a nonce").1;
            peer.say(&auth(11, format!("r={nonce}his,s=c2FsdA==,i=1")))?;
            peer.message()?;
            // Without the password, the attacker cannot compute the server signature, so he sends an invalid signature.
            peer.say(&[&auth(12, format!("v={}=", "A".repeat(43)))[..], OK, &welcome()].concat())
        }
        Offer::Relay { tls, cut_plus } => relay(peer, &first, honest, tls, cut_plus),
    }
}

/// Requests a secret from the client, reads the client's answer, and then accepts the login.
fn ask(peer: &mut Peer, request: Vec<u8>) -> io::Result<()> {
    peer.say(&request)?;
    peer.message()?;
    peer.say(&welcome())
}

/// A stream from the attacker to the honest server, in clear or with TLS.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Relays a login between the client and the honest server, message by message.
fn relay(peer: &mut Peer, startup: &[u8], honest: u16, tls: bool, cut_plus: bool) -> io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", honest))?;
    let mut upstream: Box<dyn Stream> = if tls {
        socket.write_all(SSL_REQUEST)?;
        socket.read_exact(&mut [0])?;
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(made().trusting_client(), name).map_err(io::Error::other)?;
        Box::new(StreamOwned::new(session, socket))
    } else {
        Box::new(socket)
    };
    upstream.write_all(&packet(startup))?;
    loop {
        let mut header = [0; 5];
        upstream.read_exact(&mut header)?;
        let [code, length @ ..] = header;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length") - 4];
        upstream.read_exact(&mut body)?;
        let kind = (code == b'R').then(|| body[3]);
        let said = match kind {
            Some(10) if cut_plus => sasl(&["SCRAM-SHA-256"]),
            _ => message(code, &body),
        };
        peer.say(&said)?;
        match (code, kind) {
            (b'Z' | b'E', _) => return Ok(()),
            (_, Some(10 | 11)) => {
                let (code, body) = peer.message()?;
                upstream.write_all(&message(code, body))?;
            }
            _ => {}
        }
    }
}

/// The honest server, which authenticates by SCRAM. Its thread returns, for each connection, whether a user has logged in.
struct Honest {
    port: u16,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<bool>>,
}

impl Honest {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = thread::spawn(move || {
            let how = Accepting {
                tls: true,
                time_limit: Duration::from_secs(30),
                credentials: |_| Credentials::Scram(verifier(1)),
            };
            let mut outcomes = Vec::new();
            while let Ok((socket, _)) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                outcomes.push(Adapter::Tokio.accept(socket, &how).result.is_ok());
            }
            outcomes
        });
        Self { port, over, thread }
    }

    fn end(self) -> Vec<bool> {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.thread.join().expect("the thread does not panic")
    }
}

/// Returns the name and the settings of each client, in the order of the table's columns.
fn clients() -> [(&'static str, Config); 7] {
    let tokens =
        Tokens::new(|_: TokenRequest| async { Ok::<TokenReply, SourceError>(Token::new(TOKEN)?.into()) });
    let alice =
        Config::new("alice").password(PASSWORD).tokens(tokens).connect_timeout(Duration::from_secs(40));
    let scram = RequireAuth::only(&[AuthMethod::ScramSha256]);
    let mut trusting = alice.clone();
    trusting.tls.root = Some(RootCert::File(made().file("root")));
    [
        ("full", trusting.clone().sslmode(SslMode::VerifyFull)),
        ("ca", trusting.sslmode(SslMode::VerifyCa)),
        ("bound", alice.clone().sslmode(SslMode::Require).channel_binding(BindingMode::Require)),
        ("scram", alice.clone().sslmode(SslMode::Require).require_auth(scram)),
        ("prefer", alice.clone()),
        ("p+scram", alice.clone().require_auth(scram)),
        ("p+bound", alice.channel_binding(BindingMode::Require)),
    ]
}

fn holds(heard: &[u8], secret: &str) -> bool {
    heard.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Runs an attack on one client. Returns letters that show what the attacker has gained, as described at the top of this file.
fn loot(adapter: Adapter, config: &Config, start: &Start, offer: Offer) -> String {
    let honest = Honest::start();
    let (port, start) = (honest.port, start.clone());
    let man = Playing::tcp(move |_, mut peer: Peer| {
        let _ = attack(&mut peer, &start, offer, port);
        peer.wait();
        peer.heard
    });
    let config = config.clone().host(Host::at_address("localhost", [127, 0, 0, 1], man.port()));
    let outcome = adapter.connect(&config);
    let heard = man.end().concat();
    let is_in = honest.end().contains(&true);
    if let Err(error) = &outcome.result {
        assert!(!matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{error}");
    }
    let md5_response = heard
        .windows(35)
        .any(|window| window.starts_with(b"md5") && window[3..].iter().all(u8::is_ascii_hexdigit));
    let letters = [
        ('c', holds(&heard, PASSWORD)),
        ('m', md5_response),
        ('p', holds(&heard, ",p=")),
        ('t', holds(&heard, TOKEN)),
        ('s', outcome.result.is_ok()),
        ('h', is_in),
    ];
    let letters: String = letters.into_iter().filter(|(_, has)| *has).map(|(letter, _)| letter).collect();
    if letters.is_empty() { "-".into() } else { letters }
}

#[test]
fn a_man_in_the_middle_gains_only_the_expected_secrets_over_tokio() {
    check(Adapter::Tokio);
}

#[test]
fn a_man_in_the_middle_gains_only_the_expected_secrets_over_smol() {
    check(Adapter::Smol);
}

#[test]
fn a_man_in_the_middle_gains_only_the_expected_secrets_over_async_std() {
    check(Adapter::AsyncStd);
}

/// Runs each attack on each client, and compares the attacker's gains with the table.
fn check(adapter: Adapter) {
    let made = made();
    let swap = |certificate| Start::Swap(made.presenting(certificate));
    let stranger = || swap(&made.stranger);
    let other_name = || swap(&made.elsewhere);
    let after = || Start::After(made.presenting(&made.server));
    const SCRAM: Offer = Offer::Scram(&["SCRAM-SHA-256"]);
    const PLUS: Offer = Offer::Scram(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    const RELAY: Offer = Offer::Relay { tls: true, cut_plus: false };
    const RELAY_CUT: Offer = Offer::Relay { tls: true, cut_plus: true };
    const RELAY_CLEAR: Offer = Offer::Relay { tls: false, cut_plus: false };
    #[rustfmt::skip]
    let table: [(&str, Start, Offer, &str); 25] = [
        //                                                                             full ca   bound scram prefer p+scram p+bound
        ("declines TLS, asks for the password in clear text", Start::Decline, Offer::Cleartext, "-  -   -   -   -   -   -"),
        ("declines TLS, asks for MD5",                    Start::Decline, Offer::Md5,       "-  -   -   -   ms  -   -"),
        ("declines TLS, asks for nothing",                Start::Decline, Offer::Trust,     "-  -   -   -   s   -   -"),
        ("declines TLS, asks for SCRAM",                  Start::Decline, SCRAM,            "-  -   -   -   p   p   -"),
        ("declines TLS, asks for SCRAM with binding",     Start::Decline, PLUS,             "-  -   -   -   -   -   -"),
        ("declines TLS, asks for a token",                Start::Decline, Offer::Token,     "-  -   -   -   -   -   -"),
        ("declines TLS, relays",                          Start::Decline, RELAY_CLEAR,      "-  -   -   -   psh psh -"),
        ("declines TLS, relays through TLS",              Start::Decline, RELAY,            "-  -   -   -   -   -   -"),
        ("declines TLS, relays through TLS, cuts the offer", Start::Decline, RELAY_CUT,     "-  -   -   -   psh psh -"),
        ("accepts TLS, goes on in clear, then in clear text", Start::Clear, Offer::Cleartext, "-  -   -   -   -   -   -"),
        ("accepts TLS, goes on in clear, then MD5",       Start::Clear, Offer::Md5,         "-  -   -   -   ms  -   -"),
        ("a login in place of the answer, then MD5",            Start::Before, Offer::Md5,        "-  -   -   -   ms  -   -"),
        ("sends after his answer, then asks in clear text",  after(), Offer::Cleartext,        "-  -   -   -   -   -   -"),
        ("sends after his answer, then MD5",            after(), Offer::Md5,              "-  -   -   -   ms  -   -"),
        ("swaps the certificate, asks for clear text",    stranger(), Offer::Cleartext,     "-  -   -   -   cs  -   -"),
        ("swaps the certificate, asks for MD5",           stranger(), Offer::Md5,           "-  -   -   -   ms  -   -"),
        ("swaps the certificate, asks for nothing",       stranger(), Offer::Trust,         "-  -   -   -   s   -   -"),
        ("swaps the certificate, asks for a token",       stranger(), Offer::Token,         "-  -   -   -   ts  -   -"),
        ("swaps the certificate, asks for SCRAM",         stranger(), SCRAM,                "-  -   -   p   p   p   -"),
        ("swaps the certificate, SCRAM with binding",     stranger(), PLUS,                 "-  -   p   p   p   p   p"),
        ("swaps the certificate, relays",                 stranger(), RELAY,                "-  -   p   p   p   p   p"),
        ("swaps the certificate, relays, cuts the offer", stranger(), RELAY_CUT,            "-  -   -   -   psh psh -"),
        ("swaps the certificate, relays in clear",        stranger(), RELAY_CLEAR,          "-  -   -   psh psh psh -"),
        ("a trusted certificate for another name",        other_name(), Offer::Cleartext,   "-  cs  -   -   cs  -   -"),
        ("a trusted certificate for another name, SCRAM", other_name(), PLUS,               "-  p   p   p   p   p   p"),
    ];
    let mut failures = Vec::new();
    for (name, start, offer, expected) in &table {
        for ((client, config), expected) in clients().into_iter().zip(expected.split_whitespace()) {
            let found = loot(adapter, &config, start, *offer);
            if found != expected {
                failures.push(format!("{name}, {client}: {found} instead of {expected}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
