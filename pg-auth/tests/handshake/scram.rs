//! Tests of SCRAM-SHA-256 in the messages of the PostgreSQL protocol.

use pg_auth::Link;
use pg_auth::config::AuthMethod;
use pg_auth::error::{PeerError, PolicyError, Refusal, ScramFault};
use pg_auth::scram::{Iterations, OfferedBinding, Verifier};
use pg_wire::backend::Authentication as Auth;
use pg_wire::codec::Secret;

use crate::support::*;

/// The messages of the example in RFC 7677, but without the user's name; computed by Python's `hashlib` and `hmac`.
const CLIENT_FIRST: &str = "n,,n=,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=";
const SERVER_FINAL: &str = "v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=";

fn goes_on(data: &str) -> Auth<'_> {
    Auth::SaslContinue(Secret(data.as_bytes()))
}

fn ends(data: &str) -> Auth<'_> {
    Auth::SaslFinal(Secret(data.as_bytes()))
}

fn scram_fault(message: &'static str, offset: usize, fault: ScramFault) -> PeerError {
    PeerError::Scram { message, offset, fault }
}

/// A conversation up to the client's SASLInitialResponse.
fn begun(config: &pg_auth::Config) -> Talk<'_> {
    Talk::new(config, Link::Tcp)
        .client_bytes(STARTUP)
        .server_bytes(&sasl(&["SCRAM-SHA-256"]))
        .client_begins("SCRAM-SHA-256", CLIENT_FIRST)
}

#[test]
fn an_exchange_has_exactly_these_bytes() {
    let config = with_password();
    let talk = begun(&config)
        .server(&goes_on(SERVER_FIRST))
        .client_goes_on(CLIENT_FINAL)
        .server(&ends(SERVER_FINAL));
    assert_eq!(talk.derivations(), 1);
    assert_eq!(
        talk.trace(),
        "F\t50\tSASLInitialResponse\t \"SCRAM-SHA-256\" 28 'BBBB'\n\
         B\t94\tAuthenticationSASLContinue\t 'BBBB'\n\
         F\t110\tSASLResponse\t 'BBBB'\n\
         B\t54\tAuthenticationSASLFinal\t 'BBBB'"
    );
    talk.lets_in(AuthMethod::ScramSha256);
}

#[test]
fn a_wrong_server_signature_is_rejected() {
    let config = with_password();
    let wrong = SERVER_FINAL.replace("v=3H", "v=3I");
    begun(&config)
        .server(&goes_on(SERVER_FIRST))
        .client_goes_on(CLIENT_FINAL)
        .server(&ends(&wrong))
        .refused(scram_fault("server-final-message", 2, ScramFault::Signature));
}

#[test]
fn a_challenge_with_another_nonce_or_without_a_server_nonce_is_rejected() {
    let config = with_password();
    let other = SERVER_FIRST.replace("rOpr", "rOpq");
    begun(&config).server(&goes_on(&other)).refused(scram_fault(
        "server-first-message",
        2,
        ScramFault::Nonce,
    ));
    let echo = "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    begun(&config).server(&goes_on(echo)).refused(scram_fault("server-first-message", 2, ScramFault::Nonce));
}

#[test]
fn authentication_ok_before_the_servers_proof_is_rejected() {
    let config = with_password();
    begun(&config).server(&Auth::Ok).refused(PeerError::Unproven);
    begun(&config)
        .server(&goes_on(SERVER_FIRST))
        .client_goes_on(CLIENT_FINAL)
        .server(&Auth::Ok)
        .refused(PeerError::Unproven);
}

#[test]
fn the_client_sends_its_proof_before_it_reads_the_next_message() {
    let config = with_password();
    let both = [encoded(&goes_on(SERVER_FIRST)), encoded(&Auth::Ok)].concat();
    let mut talk = begun(&config).server_bytes(&both);
    let sent = talk.sent();
    assert_eq!(sent[5..], *CLIENT_FINAL.as_bytes());
    talk.refused(PeerError::Unproven);
}

#[test]
fn the_iteration_count_has_a_maximum_and_a_minimum() {
    let challenge = |count: &str| SERVER_FIRST.replace("i=4096", &format!("i={count}"));
    let config = with_password();
    for asked in [1_000_001, u32::MAX] {
        let talk = begun(&config).server(&goes_on(&challenge(&asked.to_string())));
        assert_eq!(talk.derivations(), 0, "no key is derived");
        talk.refused(PolicyError::TooManyIterations { asked, max: 1_000_000 });
    }
    for count in ["0", "4294967296", "-1"] {
        begun(&config).server(&goes_on(&challenge(count))).refused(scram_fault(
            "server-first-message",
            82,
            ScramFault::Iterations,
        ));
    }
    let config = with_password().scram_iterations(Iterations { min: 4096, max: 4096 });
    begun(&config)
        .server(&goes_on(&challenge("4095")))
        .refused(PolicyError::TooFewIterations { asked: 4095, min: 4096 });
    begun(&config)
        .server(&goes_on(&challenge("4097")))
        .refused(PolicyError::TooManyIterations { asked: 4097, max: 4096 });
    let mut talk = begun(&config).server(&goes_on(SERVER_FIRST));
    assert_eq!(talk.sent()[5..], *CLIENT_FINAL.as_bytes());
}

#[test]
fn a_mandatory_extension_is_rejected() {
    let config = with_password();
    begun(&config).server(&goes_on(&format!("m=x,{SERVER_FIRST}"))).refused(scram_fault(
        "server-first-message",
        0,
        ScramFault::Extension,
    ));
}

#[test]
fn the_error_of_a_server_inside_the_exchange_is_reported() {
    let config = with_password();
    let told = |reason: &str| Refusal::Scram(reason.into());
    begun(&config).server(&goes_on("e=unknown-user")).refused(told("unknown-user"));
    begun(&config)
        .server(&goes_on(SERVER_FIRST))
        .client_goes_on(CLIENT_FINAL)
        .server(&ends("e=invalid-proof"))
        .refused(told("invalid-proof"));
}

#[test]
fn a_server_with_another_password_is_rejected() {
    let config = with_password();
    let other = Verifier::new(&"penciL".into(), b"sixteen bytes...".to_vec(), std::num::NonZeroU32::MIN);
    // The server and the client have different passwords. A real server would end the login at the client's invalid proof. So the test
    // sends the server's messages itself.
    let mut talk = begun(&config).server(&goes_on("r=rOprNGfwEbeRWgbNEkqO%,s=c2l4dGVlbiBieXRlcy4uLg==,i=1"));
    assert!(!talk.sent().is_empty());
    let server = pg_auth::scram::ServerFirst::new(other, nonce("%"), OfferedBinding::NotOffered);
    let challenge = server.client_first(CLIENT_FIRST.as_bytes()).expect("the message is well-formed");
    assert_eq!(challenge.message(), b"r=rOprNGfwEbeRWgbNEkqO%,s=c2l4dGVlbiBieXRlcy4uLg==,i=1");
    // The test gets the server's signature from another login, whose client has the server's password.
    let client =
        pg_auth::scram::ClientFirst::new(nonce(CLIENT_NONCE), pg_auth::scram::ChannelBinding::Unsupported);
    let challenged =
        client.server_first(challenge.message(), Iterations::default()).expect("the message is well-formed");
    let last = challenged.clone().finish(&challenged.derivation(&"penciL".into()).run());
    let accepted = challenge.client_final(last.message()).expect("this client knows the password");
    talk.server(&Auth::SaslFinal(Secret(accepted.message()))).refused(scram_fault(
        "server-final-message",
        2,
        ScramFault::Signature,
    ));
}
