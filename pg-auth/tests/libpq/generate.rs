//! Generator of valid and invalid connection strings.

use fastrand::Rng;

/// Parameters and their values for the generated strings. Some names and values are valid in libpq, others are not.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("user", &["alice", "", "a b", "é", "it's"]),
    ("password", &["s3cret", "", "p:/@%", "a\\b", "x y"]),
    ("passfile", &["/nonexistent", ""]),
    ("dbname", &["shop", "", "a=b", "d b"]),
    ("host", &["h", "h1,h2", "", "/tmp", "@name", "::1", ",", "h1,,h3", "127.0.0.1", "a b"]),
    ("hostaddr", &["127.0.0.1", "::1", "127.0.0.1,::1", "", ",", "localhost", "1.2.3", "127.0.0.1,,"]),
    ("port", &["5432", "1,2", "", "0", "65535", "65536", " 7 ", "+8", "x", "1,,3", "-1", "08"]),
    ("channel_binding", &["prefer", "disable", "require", "", "yes"]),
    ("connect_timeout", &["10", "0", "-1", "", "x", "2147483648"]),
    ("client_encoding", &["UTF8", "auto", ""]),
    ("options", &["-c geqo=off", "", "-c search_path=a,b"]),
    ("application_name", &["app", "", "a 'b'"]),
    ("fallback_application_name", &["psql", ""]),
    ("keepalives", &["0", "1", "", "x"]),
    ("keepalives_idle", &["60", "0", "-5", "x"]),
    ("keepalives_interval", &["5", ""]),
    ("keepalives_count", &["3", "3.5"]),
    ("tcp_user_timeout", &["1000", "0", "-1", "1s"]),
    ("sslmode", &["disable", "allow", "prefer", "require", "verify-ca", "verify-full", "", "on", "Require"]),
    ("sslnegotiation", &["postgres", "direct", "", "tls"]),
    ("sslcompression", &["0", "1", "", "on"]),
    ("sslcert", &["/c", ""]),
    ("sslkey", &["/k", ""]),
    ("sslcertmode", &["disable", "allow", "require", "", "no"]),
    ("sslpassword", &["p", ""]),
    ("sslrootcert", &["/ca", "system", "", "System"]),
    ("sslcrl", &["/r", ""]),
    ("sslcrldir", &["/d", ""]),
    ("sslsni", &["0", "1", "", "yes"]),
    ("requirepeer", &["postgres", ""]),
    ("require_auth", &["scram-sha-256", "!none,!md5", "", "md5,md5", "none,!gss", "oauth,sspi", "!", "md5,"]),
    ("min_protocol_version", &["3.0", "3.2", "latest", "", "3.1"]),
    ("max_protocol_version", &["3.0", "3.2", "latest", "", "4.0"]),
    ("ssl_min_protocol_version", &["TLSv1", "tlsv1.2", "TLSv1.3", "", "SSLv3"]),
    ("ssl_max_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2", "", "1.3"]),
    ("gssencmode", &["disable", "prefer", "require", "", "allow"]),
    ("krbsrvname", &["postgres", "pg", ""]),
    ("gsslib", &["gssapi", "x"]),
    ("gssdelegation", &["0", "1", "", "yes"]),
    ("replication", &["true", "database", "0", ""]),
    (
        "target_session_attrs",
        &["any", "read-write", "read-only", "primary", "standby", "prefer-standby", "", "master"],
    ),
    ("load_balance_hosts", &["disable", "random", "", "on"]),
    ("scram_client_key", &["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AQE=", "*"]),
    ("scram_server_key", &["AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=", "AQE=", "*"]),
    ("oauth_issuer", &["https://issuer.example", ""]),
    ("oauth_client_id", &["id", ""]),
    ("oauth_client_secret", &["secret", ""]),
    ("oauth_scope", &["openid email", ""]),
    ("sslkeylogfile", &["/l", ""]),
    ("requiressl", &["0", "1", ""]),
    ("service", &["x"]),
    // Parameters that libpq 18 does not have.
    ("servicefile", &["x"]),
    ("scram_iterations_max", &["4096", "0"]),
    ("ssl", &["true", "false"]),
    ("sslmod", &["require"]),
    ("authtype", &[""]),
    ("Host", &["h"]),
    ("", &["x"]),
];

/// Pieces of text. The generator damages a connection string by inserting one of these pieces.
const CHARACTERS: &[&str] = &[
    "=", "'", "\\", " ", "\t", "\n", "\u{b}", "%", "%4", "%41", "%2c", "%2F", "%ff", "%00", "%zz", "@", ":",
    "/", "?", "&", ",", "[", "]", "[::1]", "+", "#", ";", "\"", "é", "\u{a0}", "x", "0",
];

/// Generates a URI or a string of keyword/value pairs. Damages a third of the strings.
pub(crate) fn string(rng: &mut Rng) -> String {
    let mut string = if rng.bool() { uri(rng) } else { keywords(rng) };
    if rng.u8(..3) == 0 {
        for _ in 0..rng.usize(1..4) {
            mutate(rng, &mut string);
        }
    }
    string
}

pub(crate) fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())]
}

/// Returns `usual` in seven of eight cases, and one of `others` in the remaining case.
fn mostly<'a>(rng: &mut Rng, usual: &'a str, others: &[&'a str]) -> &'a str {
    if rng.u8(..8) == 0 { pick(rng, others) } else { usual }
}

fn mutate(rng: &mut Rng, string: &mut String) {
    let ends: Vec<usize> = string.char_indices().map(|(at, _)| at).chain([string.len()]).collect();
    let at = pick(rng, &ends);
    let next = ends.iter().copied().find(|&end| end > at).unwrap_or(at);
    let replacement = if rng.u8(..3) == 0 { "" } else { pick(rng, CHARACTERS) };
    let end = if rng.bool() { at } else { next };
    string.replace_range(at..end, replacement);
}

/// Chooses a parameter and one of its values. In half of the cases the value is the first value of the list, so that enough strings are
/// valid.
pub(crate) fn parameter(rng: &mut Rng) -> (&'static str, &'static str) {
    let (name, values) = pick(rng, PARAMETERS);
    (name, if rng.bool() { values[0] } else { pick(rng, values) })
}

fn keywords(rng: &mut Rng) -> String {
    let mut string = String::new();
    for _ in 0..rng.usize(..6) {
        let (name, value) = parameter(rng);
        string.push_str(mostly(rng, " ", &["", "  ", "\t", " \n\r", "\u{c}"]));
        string.push_str(name);
        string.push_str(mostly(rng, "=", &[" = ", "= ", "\t=", "==", " "]));
        string.push_str(&quoted(rng, value));
    }
    string
}

pub(crate) fn quoted(rng: &mut Rng, value: &str) -> String {
    match rng.u8(..8) {
        0 => value.to_owned(),
        1 => value.chars().flat_map(|c| ['\\', c]).collect(),
        2 => format!("'{value}'"),
        _ if value.is_empty() || value.contains([' ', '\'', '\\']) => {
            format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        _ => value.to_owned(),
    }
}

fn uri(rng: &mut Rng) -> String {
    let usual = if rng.bool() { "postgres://" } else { "postgresql://" };
    let mut string =
        mostly(rng, usual, &["postgres:/", "POSTGRES://", "postgres:// ", "postgresql:///"]).to_owned();
    if rng.bool() {
        let user = pick(rng, &["alice", "", "a b", "ü", " u ", "a@b"]);
        string.push_str(&encoded(rng, user));
        if rng.bool() {
            string.push(':');
            let password = pick(rng, &["s3cret", "", "p:/?#[]@", "x y", "ä"]);
            string.push_str(&encoded(rng, password));
        }
        string.push('@');
    }
    for at in 0..rng.usize(..4) {
        if at > 0 {
            string.push(',');
        }
        let name = pick(
            rng,
            &["h", "db.example", "", "[::1]", "127.0.0.1", "[fe80::1%25eth0]", "%2Ftmp", " h ", "h%2ci"],
        );
        string.push_str(name);
        if rng.bool() {
            string.push(':');
            string.push_str(pick(rng, &["5433", "1", "", "65536", "x", "%31", " 7 "]));
        }
    }
    if rng.bool() {
        string.push('/');
        let name = pick(rng, &["shop", "", "a/b", "d b", "%C3%A9", "%ff"]);
        string.push_str(&encoded(rng, name));
    }
    if rng.bool() {
        string.push('?');
        for at in 0..rng.usize(..5) {
            if at > 0 {
                string.push_str(mostly(rng, "&", &["&&", ";", " & "]));
            }
            let (name, value) = parameter(rng);
            string.push_str(mostly(rng, name, &["%75ser", " user ", "us er"]));
            string.push_str(mostly(rng, "=", &["", "==", " = "]));
            string.push_str(&encoded(rng, value));
        }
    }
    string
}

/// Percent-encodes a text. Usually encodes exactly the special characters, and sometimes more or fewer characters.
fn encoded(rng: &mut Rng, text: &str) -> String {
    let how = rng.u8(..8);
    let encode = |byte: u8, needed: bool| match (needed, how) {
        (_, 0) | (true, 2..) => format!("%{byte:02x}"),
        _ => String::from(char::from(byte)),
    };
    if how == 1 || text.contains('%') {
        return text.to_owned();
    }
    let special = |byte: u8| !byte.is_ascii() || b"@:/?#[]&=% ,".contains(&byte);
    text.bytes().map(|byte| encode(byte, special(byte))).collect()
}
