//! Tests in which a server cuts the connection during a login. The login is repeated, and is cut one byte later each time; with TLS, 41
//! bytes later each time.

use pg_auth::config::{Host, RootCert, SslMode};
use pg_auth::{Config, ConnectErrorKind};

use super::{LONG, MAX_MEMORY, good, say};
use crate::adapters::{Adapter, Outcome};
use crate::certificates::made;
use crate::peer::{Act, Cut, PASSWORD, Peer, Playing, Script};

/// Connects to a server that plays the script. If `cut` is given, the server cuts the connection after this number of bytes. Returns the
/// outcome, and the number of bytes that the server has sent.
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

/// Repeats a login, which the server cuts after 0 bytes, `step` bytes, twice `step` bytes, and so on. Returns the number of cut logins.
///
/// Two complete logins may differ in length by up to `spread` bytes. So no login is cut in its last `spread` bytes: a shorter login would
/// be complete before the cut.
fn cut_everywhere(config: &Config, script: &Script, step: usize, spread: usize) -> usize {
    let mut logins = 0;
    for adapter in Adapter::ALL {
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
fn a_login_through_tls_that_is_cut_is_an_error() {
    let made = made();
    let mut config = alice().sslmode(SslMode::VerifyFull);
    config.tls.root = Some(RootCert::File(made.file("root")));
    let start = vec![Act::Packet, say(b"S"), Act::Tls(made.presenting(&made.server))];
    // The signatures in the TLS handshake vary by a few bytes. So the lengths of two logins may differ by up to 12 bytes.
    assert!(cut_everywhere(&config, &[start, good()].concat(), 41, 12) > 100);
}
