//! Tests of the client and of the server with the example exchange of RFC 7677, section 3.

use pg_auth::error::AuthError;
use pg_auth::scram::{ChannelBinding, ClientFirst, Iterations, OfferedBinding, ServerFirst, Verifier};

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// The verifier of the password `pencil`, computed by Python's `hashlib` and `hmac`.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

#[test]
fn the_client_sends_the_messages_of_the_example() -> Result<(), AuthError> {
    let first = ClientFirst::with_user(CLIENT_NONCE.parse()?, ChannelBinding::Unsupported, "user");
    assert_eq!(first.message(), CLIENT_FIRST.as_bytes());

    let challenged = first.server_first(SERVER_FIRST.as_bytes(), Iterations::default())?;
    assert_eq!(challenged.iterations().get(), 4096);
    let salted = challenged.derivation(&"pencil".into()).run();

    let last = challenged.finish(&salted);
    assert_eq!(last.message(), CLIENT_FINAL.as_bytes());
    assert!(!last.server_final(SERVER_FINAL.as_bytes())?.is_bound());
    Ok(())
}

#[test]
fn the_server_sends_the_messages_of_the_example() -> Result<(), AuthError> {
    let verifier: Verifier = VERIFIER.parse()?;
    let first = ServerFirst::new(verifier, SERVER_NONCE.parse()?, OfferedBinding::NotOffered);
    let challenge = first.client_first(CLIENT_FIRST.as_bytes())?;
    assert_eq!(challenge.message(), SERVER_FIRST.as_bytes());

    let accepted = challenge.client_final(CLIENT_FINAL.as_bytes())?;
    assert_eq!(accepted.message(), SERVER_FINAL.as_bytes());
    Ok(())
}
