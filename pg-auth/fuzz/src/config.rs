use pg_auth::Config;
use pg_auth::error::ConfigError;

use crate::secrets::{PASSWORD, assert_hidden};

/// The character that stands for the password in an input.
const MARK: char = '\u{1}';

/// Parses an arbitrary connection string. Neither the printed configuration nor the error may show a secret.
///
/// The input is a connection string. A character U+0001 in the place of a password (after `password=`, or between `:` and `@`) is replaced
/// by a password. `tests/libpq` of pg-auth parses the same inputs, and compares the results with libpq's results.
pub fn config(data: &[u8]) {
    let Ok(string) = str::from_utf8(data) else { return };
    let _ = check(string);
    for (at, _) in string.match_indices(MARK) {
        let (before, after) = (&string[..at], &string[at + MARK.len_utf8()..]);
        let is_keyword = before.ends_with("password=") || before.ends_with("password='");
        let is_in_uri = before.ends_with(':') && after.starts_with('@');
        if !is_keyword && !is_in_uri {
            continue;
        }
        let whole = format!("{before}{PASSWORD}{after}");
        match check(&whole) {
            Ok(config) if config.password == Some(PASSWORD.into()) => {
                if string.matches(MARK).count() == 1 {
                    assert_hidden(&format!("{config:?}"));
                }
            }
            Ok(_) => {}
            Err(error) => assert_hidden(&format!("{error} {error:?}")),
        }
    }
}

/// Parses the string. Checks that the printed form of the configuration does not depend on its secrets.
fn check(string: &str) -> Result<Config, ConfigError> {
    let config: Config = string.parse().inspect_err(|error| drop(format!("{error} {error:?}")))?;
    if let Err(error) = config.check() {
        let _ = format!("{error} {error:?}");
    }
    let mut other = config.clone();
    for secret in [&mut other.password, &mut other.oauth.client_secret, &mut other.tls.key_password] {
        *secret = secret.take().map(|_| "another password".into());
    }
    assert_eq!(format!("{config:?}"), format!("{other:?}"), "a secret is printed");
    assert!(!config.hosts.is_empty(), "a connection string has at least the default host");
    Ok(config)
}
