//! A good login that ends early, at every byte.

use pg_auth::config::{Host, RootCert, SslMode};
use pg_auth::{Config, ConnectErrorKind};

use super::{LONG, MAX_MEMORY, good, say};
use crate::adapters::{Adapter, Outcome};
use crate::certificates::made;
use crate::peer::{Act, Cut, PASSWORD, Peer, Playing, Script};

/// Connects to a server that plays the script and is cut once it has sent so many bytes, if it is to be cut. Returns the number of bytes
/// that the server sent.
fn connect(
    adapter: Adapter,
    config: &Config,
    script: &Script,
    cut: Option<(usize, Cut)>,
) -> (Outcome<pg_auth::Session>, usize) {
    let script = script.clone();
    let server = Playing::tcp(move |_, mut peer: Peer| {
        if let Some((most, cut)) = cut {
            peer = peer.cut(most, cut);
        }
        peer.play(&script);
        peer.sent()
    });
    let config = config.clone().host(Host::at_address("localhost", [127, 0, 0, 1], server.port()));
    let outcome = adapter.connect(&config);
    let sent = server.end();
    assert_eq!(sent.len(), 1, "one connection");
    (outcome, sent[0])
}

/// Cuts a login at every `step`th byte. `spread` is the number of bytes by which the length of two logins may differ. Returns the number of
/// logins.
fn cut_everywhere(config: &Config, script: &Script, step: usize, spread: usize) -> usize {
    let mut logins = 0;
    for adapter in Adapter::BOTH {
        let (whole, total) = connect(adapter, config, script, None);
        whole.result.expect("the login is good");
        for cut in [Cut::HalfClose, Cut::Reset] {
            for most in (0..total - spread).step_by(step) {
                let (outcome, _) = connect(adapter, config, script, Some((most, cut)));
                let place = format!("{adapter:?}, {cut:?} after {most} of {total} bytes");
                let error = outcome.result.expect_err(&place);
                assert!(!matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{place}: {error}");
                if cut == Cut::HalfClose {
                    assert!(error.to_string().contains("closed the connection"), "{place}: {error}");
                }
                assert!(outcome.bytes <= MAX_MEMORY, "{place}: {} bytes", outcome.bytes);
                logins += 1;
            }
        }
    }
    println!("{logins} logins were cut");
    logins
}

fn alice() -> Config {
    Config::new("alice").password(PASSWORD).sslmode(SslMode::Disable).connect_timeout(LONG)
}

#[test]
fn a_login_that_is_cut_at_any_byte_is_an_error() {
    assert!(cut_everywhere(&alice(), &good(), 1, 0) > 800);
}

#[test]
fn a_login_through_tls_that_is_cut_anywhere_is_an_error() {
    let made = made();
    let mut config = alice().sslmode(SslMode::VerifyFull);
    config.tls.root = Some(RootCert::File(made.file("root")));
    let start = vec![Act::Packet, say(b"S"), Act::Tls(made.presenting(&made.server))];
    // The signature in a handshake is a few bytes longer or shorter each time.
    assert!(cut_everywhere(&config, &[start, good()].concat(), 41, 12) > 100);
}
