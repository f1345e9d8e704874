//! Tests of connection strings with arbitrary contents, as URIs and as keyword/value pairs.

use allocation_counter::measure;
use pg_auth::config::{Config, Host};
use proptest::prelude::*;

/// Percent-encodes everything except ASCII letters and digits.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

proptest! {
    #[test]
    fn both_forms_parse_to_the_same_configuration(
        user in "[^\0]{1,12}",
        password in "[^\0]{1,12}",
        database in "[^\0]{1,12}",
        host in "[^\0,]{1,12}",
        port in 1u16..,
    ) {
        let expected = Config::new(&user).password(password.as_str()).database(&database).host(Host::new(&host, port));

        let [u, p, d, h] = [&user, &password, &database, &host].map(|text| percent_encode(text));
        prop_assert_eq!(format!("postgres://{u}:{p}@{h}:{port}/{d}").parse(), Ok(expected.clone()));
        let uri = format!("postgresql://?user={u}&password={p}&host={h}&port={port}&dbname={d}");
        prop_assert_eq!(uri.parse(), Ok(expected.clone()));

        let [u, p, d, h] = [&user, &password, &database, &host].map(|text| quote(text));
        prop_assert_eq!(format!("user={u} password={p} host={h} port={port} dbname={d}").parse(), Ok(expected));
    }

    #[test]
    fn parsing_any_string_does_not_panic(string in "(postgres://)?([a-z@:/?&=,%'\\\\\\[\\] ]|host|user|é|%20|%ff){0,30}") {
        let _ = string.parse::<Config>();
    }

    #[test]
    fn parsing_any_bytes_does_not_panic(string in any::<String>()) {
        let _ = string.parse::<Config>();
        let _ = format!("postgres://{string}").parse::<Config>();
    }
}

/// Checks that a string of twice the length makes the parser allocate twice as many bytes in total. If each setting allocated a buffer as
/// long as the string, the parser would allocate four times as many bytes for the longer string.
#[test]
fn allocated_bytes_grow_with_the_length_of_the_string() {
    type Make = fn(usize) -> String;
    let strings: [(&str, Make); 5] = [
        ("settings", |count| "user=alice ".repeat(count)),
        ("quoted settings", |count| "user='alice' ".repeat(count)),
        ("an escaped value", |count| format!("user='{}'", r"\x".repeat(count))),
        ("hosts", |count| format!("postgres://{}/", vec!["h:1"; count].join(","))),
        ("a query", |count| format!("postgres://h?{}", "user=%78&".repeat(count))),
    ];
    for (name, make) in strings {
        let allocated = |count| {
            let string = make(count);
            measure(|| drop(string.parse::<Config>().expect(name))).bytes_total
        };
        let (once, twice) = (allocated(10_000), allocated(20_000));
        assert!(twice * 10 < once * 25, "{name}: {once} bytes, and {twice} for twice the string");
    }
}
