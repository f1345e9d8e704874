//! Tests that no secret stays in the process's memory after the connection phase, whether the phase succeeds or fails.
//!
//! The client's and the server's state machines exchange bytes over a socket pair, so that no buffer between them holds a copy. After the
//! phase the test searches all memory of the process: the heap, freed heap memory and the stacks of the threads, which are still running.
//! The test itself stores the secrets masked, so that the search does not find these copies.
#![cfg(target_os = "linux")]

#[path = "support/search.rs"]
mod search;

use std::hint::black_box;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use pg_auth::oauth::{OAuthLogin, Token, Tokens};
use pg_auth::scram::{ChannelBinding, ClientFirst, Iterations, OfferedBinding, ServerFirst, Verifier};
use pg_auth::{
    Accept, AcceptStep, Config, Credentials, Handshake, Link, Password, Step, StoredPassword, md5,
};
use pg_wire::testing::block_on;
use pg_wire::{Inbox, Limits, Outbox};
use search::{MASK, Needle, found, masked};

/// Returns one byte of the password. The test binary must not contain the whole password, because the search would find this copy.
fn letter(at: usize) -> u8 {
    let lower = b"qzjxkvbpygfwmucldrhsnioate".get(at % 26).copied().unwrap_or_default();
    if at.is_multiple_of(2) { lower.to_ascii_uppercase() } else { lower }
}

const LENGTH: usize = 22;

fn password() -> Password {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend((0..LENGTH).map(letter));
    Password::from(bytes)
}

fn wrong() -> Password {
    let mut bytes = Vec::with_capacity(LENGTH + 1);
    bytes.extend((0..LENGTH).map(letter));
    bytes.push(b'!');
    Password::from(bytes)
}

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "hvYDpWUa2RaTCAfuxFIl";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(2).expect("the number is not zero");

fn verifier() -> Verifier {
    Verifier::new(&password(), b"0123456789abcdef".to_vec(), ITERATIONS)
}

fn needles() -> Vec<Needle> {
    let salted = verifier().derivation(&password()).run();
    let nonce = |text: &str| text.parse().expect("the nonce is printable");
    let first = ClientFirst::new(nonce(CLIENT_NONCE), ChannelBinding::Unsupported);
    let server = ServerFirst::new(verifier(), nonce(SERVER_NONCE), OfferedBinding::NotOffered);
    let challenge = server.client_first(&first.message()).expect("the message is well-formed");
    let last =
        first.server_first(challenge.message(), Iterations::default()).expect("the message is well-formed");
    let last = last.finish(&salted);
    let proof = last.message().rsplit(|byte| *byte == b',').next().expect("the message has a proof");
    let raw = BASE64_STANDARD.decode(&proof[2..]).expect("the proof is base64");
    vec![
        ("password", (0..LENGTH).map(|at| letter(at) ^ MASK).collect()),
        // A connection that is cut could leave a part of a message in memory, so half of the password is also searched for.
        ("half of the password", (0..LENGTH / 2).map(|at| letter(at) ^ MASK).collect()),
        ("salted password", masked(salted.as_bytes())),
        ("client key", masked(salted.client_key().as_bytes())),
        ("proof", masked(&proof[2..])),
        ("proof as bytes", masked(&raw)),
        ("stored MD5", masked(&md5::Verifier::new(b"alice", &password()).to_string().as_bytes()[3..])),
    ]
}

/// Sends the pending bytes, but at most `goes` bytes, and subtracts the number of sent bytes from `goes`. Returns an error if not all bytes
/// were sent.
fn send(stream: &mut UnixStream, outbox: &mut Outbox, goes: &mut usize) -> Result<(), ()> {
    outbox.commit().map_err(drop)?;
    let pending = outbox.pending();
    let count = pending.len().min(*goes);
    stream.write_all(&pending[..count]).map_err(drop)?;
    *goes -= count;
    let whole = count == pending.len();
    outbox.sent(count);
    if whole { Ok(()) } else { Err(()) }
}

fn fill(stream: &mut UnixStream, inbox: &mut Inbox) -> Result<(), ()> {
    match stream.read(inbox.space()) {
        Ok(0) | Err(_) => Err(()),
        Ok(count) => {
            inbox.filled(count);
            Ok(())
        }
    }
}

/// Creates the two buffers of a connection. The outbox keeps only 16 bytes of memory when it is empty, so that the memory of each message
/// is freed.
fn buffers(limits: Limits) -> (Inbox, Outbox) {
    (Inbox::new(limits), Outbox::new(16))
}

fn client(config: &Config, mut stream: UnixStream, mut goes: usize) -> Result<(), ()> {
    let (mut inbox, mut outbox) = buffers(Limits::BACKEND);
    let mut handshake = Handshake::new(config, Link::Unix).map_err(drop)?;
    handshake = handshake.nonce(CLIENT_NONCE.parse().map_err(drop)?);
    loop {
        let step = handshake.step(&mut inbox, &mut outbox).map_err(drop)?;
        send(&mut stream, &mut outbox, &mut goes)?;
        match step {
            Step::Read => fill(&mut stream, &mut inbox)?,
            Step::Derive(job) => handshake.derived(&job.run(), &mut outbox),
            Step::Token(request) => {
                let reply = block_on(config.tokens.as_ref().ok_or(())?.token(request));
                handshake.token(reply, &mut outbox).map_err(drop)?;
            }
            Step::Ready(_) => return Ok(()),
            _ => return Err(()),
        }
    }
}

fn server(credentials: Credentials, mut stream: UnixStream, mut goes: usize) -> Result<(), ()> {
    let (mut inbox, mut outbox) = buffers(Limits::FRONTEND);
    let mut accept = Accept::new().nonce(SERVER_NONCE.parse().map_err(drop)?);
    let mut credentials = Some(credentials);
    loop {
        let step = accept.step(&mut inbox, &mut outbox);
        send(&mut stream, &mut outbox, &mut goes)?;
        match step.map_err(drop)? {
            AcceptStep::Read => fill(&mut stream, &mut inbox)?,
            AcceptStep::Authenticate(_) => {
                let credentials = credentials.take().ok_or(())?;
                accept.authenticate(credentials, &mut inbox, &mut outbox).map_err(drop)?;
            }
            AcceptStep::Derive(job) => accept.derived(&job.run()),
            AcceptStep::Token(check) => accept.token_checked(block_on(check.run())),
            AcceptStep::Login(_) => {
                pg_auth::accept::welcome([], None, &mut outbox);
                return send(&mut stream, &mut outbox, &mut goes);
            }
            _ => return Err(()),
        }
    }
}

const METHODS: [&str; 5] = ["password", "password for a verifier", "md5", "scram", "oauth"];

fn credentials(method: &str) -> Credentials {
    match method {
        "password" => Credentials::Cleartext(StoredPassword::Plain(password())),
        "password for a verifier" => Credentials::Cleartext(StoredPassword::Scram(verifier())),
        "md5" => Credentials::Md5(md5::Verifier::new(b"alice", &password())),
        "scram" => Credentials::Scram(verifier()),
        _ => Credentials::OAuth(OAuthLogin::new("https://issuer.example", "x", async |token: Token| {
            password() == *token.as_bytes()
        })),
    }
}

/// A thread that stays alive after its work, so that its stack can be searched: the system takes back the stack of a thread that ends.
struct Worker {
    jobs: Sender<Box<dyn FnOnce() -> bool + Send>>,
    results: Receiver<bool>,
}

impl Worker {
    fn start() -> Self {
        let (jobs, to_do) = channel::<Box<dyn FnOnce() -> bool + Send>>();
        let (done, results) = channel();
        thread::spawn(move || to_do.into_iter().try_for_each(|job| done.send(job())));
        Self { jobs, results }
    }

    fn begin(&self, job: impl FnOnce() -> bool + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("the worker is running");
    }

    fn end(&self) -> bool {
        self.results.recv().expect("no panic")
    }
}

/// Runs one login. Returns whether the client has logged in.
fn login(
    sides: &[Worker; 2],
    method: &'static str,
    right: bool,
    client_goes: usize,
    server_goes: usize,
) -> bool {
    let (ours, theirs) = UnixStream::pair().expect("the system has sockets");
    sides[1].begin(move || server(credentials(method), theirs, server_goes).is_ok());
    sides[0].begin(move || {
        let secret = move || if right { password() } else { wrong() };
        let mut config = Config::new("alice");
        if method == "oauth" {
            let token = move |_| async move {
                Ok(Token::new(if right { password() } else { Password::from("other") })?.into())
            };
            config = config.tokens(Tokens::new(token).allow_plain_local());
        } else {
            config = config.password(secret());
        }
        client(&config, ours, client_goes).is_ok()
    });
    sides[1].end();
    sides[0].end()
}

/// Checks that the search finds each secret in `needles`: in heap memory, in freed memory and on the stack. Also checks that the search no
/// longer finds a secret that has been wiped.
#[track_caller]
fn control(needles: &[Needle], window: &mut [u8]) {
    let names = |needles: &[Needle], window: &mut [u8]| -> Vec<String> {
        let mut names: Vec<String> = found(needles, window)
            .into_iter()
            .filter_map(|place| place.split(" in ").next().map(str::to_owned))
            .collect();
        names.dedup();
        names
    };
    for needle in needles {
        let one = std::slice::from_ref(needle);
        let mut heap = black_box(masked(&needle.1));
        assert_eq!(names(one, window), [needle.0]);
        heap.fill(0);
        black_box(&heap);
        assert_eq!(names(one, window), [""; 0]);
    }
    // The following copies have upper and lower case exchanged. So the copies that this function leaves in memory differ from the secrets
    // that the test searches for later.
    const OTHER: u8 = 0x20;
    // This copy is freed without being wiped. It begins with 64 zeros, because the allocator writes its free list into the first bytes.
    let stray: Needle = ("a stray copy", (0..32).map(|at| letter(at) ^ OTHER ^ MASK).collect());
    let copy = [vec![0; 64], masked(&stray.1)].concat();
    drop(black_box(copy));
    assert_eq!(names(std::slice::from_ref(&stray), window), [stray.0], "freed memory is searched");

    let mut stack = black_box([0u8; 16]);
    for (at, byte) in stack.iter_mut().enumerate() {
        *byte = letter(at + 3) ^ OTHER;
    }
    let on_stack: Needle = ("a stack", (0..16).map(|at| letter(at + 3) ^ OTHER ^ MASK).collect());
    black_box(&stack);
    assert_eq!(names(&[on_stack], window), ["a stack"]);
    black_box(&stack);
}

#[test]
fn no_secret_stays_in_memory() {
    let needles = needles();
    let mut window = vec![0; 1 << 20];
    assert_eq!(found(&needles, &mut window), [""; 0], "the test itself leaves none");
    control(&needles, &mut window);
    assert_eq!(found(&needles, &mut window), [""; 0], "the control leaves none");

    let sides = [Worker::start(), Worker::start()];
    for method in METHODS {
        for right in [true, false] {
            assert_eq!(login(&sides, method, right, usize::MAX, usize::MAX), right, "{method}");
            assert_eq!(found(&needles, &mut window), [""; 0], "{method}, the right secret: {right}");
        }
        // Each turn makes two logins: the client disconnects after `goes` bytes in the first login, the server in the second login. The
        // loop ends when `goes` is so large that both logins succeed.
        for goes in 0.. {
            let client_in = login(&sides, method, true, goes, usize::MAX);
            let left = found(&needles, &mut window);
            assert_eq!(left, [""; 0], "{method}: the client sends {goes} bytes");
            let server_done = login(&sides, method, true, usize::MAX, goes);
            let left = found(&needles, &mut window);
            assert_eq!(left, [""; 0], "{method}: the server sends {goes} bytes");
            if client_in && server_done {
                break;
            }
            assert!(goes < 1000, "{method}: it never ends");
        }
    }
}
