//! Tests of a client against a server, in memory: with arbitrary passwords and salts, and with every message cut and corrupted.

use std::num::NonZeroU32;

use pg_auth::error::AuthError;
use pg_auth::scram::{
    ChannelBinding, ClientFirst, ClientKey, Iterations, Nonce, OfferedBinding, Proven, ServerFinal,
    ServerFirst, ServerKey, Verifier,
};
use pg_auth::secret::Password;
use proptest::prelude::*;

/// The secret that the client has: the password, or the keys.
#[derive(Clone, Copy)]
enum Knows<'a> {
    Password(&'a Password),
    Keys(&'a ClientKey, &'a ServerKey),
}

/// Runs one login. `wire` receives each message with its number, and returns the message to deliver to the peer.
fn login(
    (nonce, knows, asked): (Nonce, Knows<'_>, ChannelBinding),
    (verifier, server_nonce, offered): (Verifier, Nonce, OfferedBinding),
    mut wire: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Result<(Proven, ServerFinal), AuthError> {
    let client = ClientFirst::new(nonce, asked);
    let server = ServerFirst::new(verifier, server_nonce, offered);
    let challenge = server.client_first(&wire(0, client.message()))?;
    let challenged = client.server_first(&wire(1, challenge.message().to_vec()), Iterations::default())?;
    let last = match knows {
        Knows::Password(password) => {
            let salted = challenged.derivation(password).run();
            challenged.finish(&salted)
        }
        Knows::Keys(client_key, server_key) => challenged.finish_with_keys(client_key, server_key),
    };
    let accepted = challenge.client_final(&wire(2, last.message().to_vec()))?;
    let proven = last.server_final(&wire(3, accepted.message().to_vec()))?;
    Ok((proven, accepted))
}

fn nonce(text: &str) -> Nonce {
    text.parse().expect("the nonce is printable")
}

fn clean(_: usize, message: Vec<u8>) -> Vec<u8> {
    message
}

/// A password, and its verifier with one iteration.
fn pencil() -> (Password, Verifier) {
    let password = Password::from("pencil");
    let verifier = Verifier::new(&password, b"sixteen bytes...".to_vec(), NonZeroU32::MIN);
    (password, verifier)
}

/// All combinations of the client's request and the server's offer that lead to a login. The last value is true if the login is bound to
/// the channel.
fn bindings() -> [(ChannelBinding, OfferedBinding, bool); 4] {
    let hash = vec![0x5a; 32];
    [
        (ChannelBinding::Unsupported, OfferedBinding::NotOffered, false),
        (ChannelBinding::NotOffered, OfferedBinding::NotOffered, false),
        (ChannelBinding::Unsupported, OfferedBinding::Declined, false),
        (ChannelBinding::TlsServerEndPoint(hash.clone()), OfferedBinding::TlsServerEndPoint(hash), true),
    ]
}

proptest! {
    #[test]
    fn a_client_with_the_password_logs_in(
        password in prop::collection::vec(any::<u8>(), 0..40),
        salt in prop::collection::vec(any::<u8>(), 1..40),
        iterations in 1u32..8,
        nonces in ("[!-+\\--~]{1,40}", "[!-+\\--~]{1,40}"),
        binding in 0usize..4,
    ) {
        let password = Password::from(password);
        let verifier = Verifier::new(&password, salt, NonZeroU32::new(iterations).expect("the number is not zero"));
        let stored: Verifier = verifier.to_string().parse().expect("a string that was just written");
        let (asked, offered, bound) = bindings().into_iter().nth(binding).expect("the list has four bindings");
        let (proven, accepted) = login(
            (nonce(&nonces.0), Knows::Password(&password), asked.clone()),
            (stored, nonce(&nonces.1), offered.clone()),
            clean,
        ).expect("the password is right");
        prop_assert_eq!(proven.is_bound(), bound);

        // With the keys that the server has learned, a pooler can log in to another server that stores the same verifier.
        let keys = Knows::Keys(accepted.client_key(), accepted.server_key());
        prop_assert!(login((nonce("a"), keys, asked), (verifier, nonce("b"), offered), clean).is_ok());
    }

    #[test]
    fn a_client_with_another_password_is_denied(
        password in "\\PC{0,20}",
        guess in "\\PC{0,20}",
        salt in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let (password, guess) = (Password::from(password), Password::from(guess));
        prop_assume!(pg_auth::saslprep::saslprep(&password) != pg_auth::saslprep::saslprep(&guess));
        let verifier = Verifier::new(&password, salt, NonZeroU32::MIN);
        let client = (nonce("a"), Knows::Password(&guess), ChannelBinding::Unsupported);
        let server = (verifier, nonce("b"), OfferedBinding::NotOffered);
        prop_assert_eq!(login(client, server, clean).err(), Some(AuthError::Denied));
    }

    #[test]
    fn arbitrary_bytes_never_panic(number in 0usize..4, garbage in prop::collection::vec(any::<u8>(), 0..80)) {
        let (password, verifier) = pencil();
        let client = (nonce("a"), Knows::Password(&password), ChannelBinding::Unsupported);
        let server = (verifier, nonce("b"), OfferedBinding::NotOffered);
        let wire = |at, message| if at == number { garbage.clone() } else { message };
        prop_assert!(login(client, server, wire).is_err());
    }
}

#[test]
fn a_message_that_is_cut_or_corrupted_never_leads_to_a_login() {
    let (password, verifier) = pencil();
    for (at, (asked, offered, _)) in bindings().into_iter().enumerate() {
        // With the first binding, all 255 changes of each byte are tried; with the other bindings, only changes of a single bit.
        let masks: Vec<u8> =
            if at == 0 { (1..=u8::MAX).collect() } else { (0..8).map(|bit| 1 << bit).collect() };
        let attempt = |wire: &mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>| {
            let client = (nonce("client"), Knows::Password(&password), asked.clone());
            let server = (verifier.clone(), nonce("server"), offered.clone());
            login(client, server, wire)
        };
        let mut lengths = [0; 4];
        let whole = attempt(&mut |number, message| {
            lengths[number] = message.len();
            message
        });
        assert!(whole.is_ok());
        for (number, length) in lengths.into_iter().enumerate() {
            for at in 0..length {
                let cut = attempt(&mut |n, mut message| {
                    if n == number {
                        message.truncate(at);
                    }
                    message
                });
                assert!(cut.is_err(), "message {number} cut at {at}");
                for &mask in &masks {
                    let corrupted = attempt(&mut |n, mut message| {
                        if n == number {
                            message[at] ^= mask;
                        }
                        message
                    });
                    assert!(corrupted.is_err(), "message {number}, byte {at} ^ {mask:#x}");
                }
            }
        }
    }
}

#[test]
fn a_binding_to_another_channel_is_rejected() {
    let (password, verifier) = pencil();
    let asked = ChannelBinding::TlsServerEndPoint(vec![1; 32]);
    let offered = OfferedBinding::TlsServerEndPoint(vec![2; 32]);
    let client = (nonce("a"), Knows::Password(&password), asked);
    let error = login(client, (verifier, nonce("b"), offered), clean).err();
    assert_eq!(
        error.map(|error| error.to_string()).as_deref(),
        Some("the client sent an invalid SCRAM client-final-message, at byte 2: bound to another channel")
    );
}

#[test]
fn a_server_without_the_verifier_is_rejected() {
    let (password, verifier) = pencil();
    let client = (nonce("a"), Knows::Password(&password), ChannelBinding::Unsupported);
    let server = (verifier, nonce("b"), OfferedBinding::NotOffered);
    let wire = |number, message| {
        if number == 3 { b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec() } else { message }
    };
    let error = login(client, server, wire).err();
    assert_eq!(
        error.map(|error| error.to_string()).as_deref(),
        Some("the server sent an invalid SCRAM server-final-message, at byte 2: wrong server signature")
    );
}

#[test]
fn the_exchange_with_an_unknown_user_has_the_same_lengths() {
    let password = Password::from("pencil");
    let iterations = NonZeroU32::new(16).expect("the number is not zero");
    let mut exchanges = Vec::new();
    for verifier in [
        Verifier::new(&"other".into(), b"sixteen bytes...".to_vec(), iterations),
        Verifier::mock(b"secret of the server", b"nobody", 16, iterations),
    ] {
        let mut lengths = Vec::new();
        let client = (nonce("a"), Knows::Password(&password), ChannelBinding::Unsupported);
        let server = (verifier, nonce("b"), OfferedBinding::NotOffered);
        let wire = |_, message: Vec<u8>| {
            lengths.push(message.len());
            message
        };
        assert_eq!(login(client, server, wire).err(), Some(AuthError::Denied));
        exchanges.push(lengths);
    }
    assert_eq!(exchanges.first(), exchanges.last());
}
