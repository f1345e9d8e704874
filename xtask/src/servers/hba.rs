//! The roles, and the authentication method of each role over a Unix socket, over TLS and over TCP without TLS ("clear").
//!
//! | role | Unix socket | TLS | clear | proof |
//! | --- | --- | --- | --- | --- |
//! | `admin`, the superuser | trust | trust | trust | none; may also start replication |
//! | `trust` | trust | trust | trust | none |
//! | `cleartext` | password | password | password | `cleartext-secret` |
//! | `md5` | md5 | md5 | md5 | `md5-secret`, which the server stores as an MD5 hash |
//! | `scram` | SCRAM | SCRAM | SCRAM | `scram-secret` |
//! | `saslprep` | SCRAM | SCRAM | SCRAM | `pa`, U+00A0, `ss`, U+2168, which SASLprep turns into `pa ssIX` |
//! | `tls_only` | – | SCRAM | – | `tls_only-secret` |
//! | `clear_only` | – | – | SCRAM | `clear_only-secret` |
//! | `cert` | – | cert | – | `PG_CLIENT_CERT`, see [`super::certificates`] |
//! | `certscram` | – | SCRAM and certificate | – | `certscram-secret` and `PG_CLIENT_CERTSCRAM_CERT` |
//! | `peer` | peer | – | – | the operating system's user is the user that runs xtask |
//! | `gss`, 15 only | – | GSSAPI | GSSAPI | a ticket, see [`super::kdc`]; "clear" includes links encrypted by GSSAPI |
//! | `oauth`, 18 only | OAuth | OAuth | OAuth | a bearer token, see [`super::oauth`] |
//! | any other | – | – | – | |
//!
//! A dash means that `pg_hba.conf` rejects the login. Servers that are not started for tests reject `gss` and `oauth` everywhere.

use std::fmt::Write as _;

/// The superuser that `initdb` makes.
pub(crate) const ADMIN: &str = "admin";

/// A role: its password, and its authentication method in `pg_hba.conf` for each kind of connection (Unix socket, TLS, TCP without TLS).
///
/// The field `clear` also applies to TCP that GSSAPI encrypts, like the keyword `hostnossl`.
#[derive(Debug)]
pub(super) struct Role {
    name: &'static str,
    socket: &'static str,
    tls: &'static str,
    clear: &'static str,
    /// The form in which the server stores the password (`password_encryption`), and the password as an SQL string.
    password: Option<(&'static str, &'static str)>,
    /// An authentication method that the role needs and that not every server supports. A server without this method rejects the role.
    needs: Option<&'static str>,
}

impl Role {
    /// Creates a role with the same authentication method for every kind of connection.
    const fn everywhere(
        name: &'static str,
        method: &'static str,
        password: Option<(&'static str, &'static str)>,
    ) -> Self {
        Self { name, socket: method, tls: method, clear: method, password, needs: None }
    }

    /// Creates a role that is rejected on every kind of connection. The caller then sets the methods of the connections that the role may
    /// use.
    const fn nowhere(name: &'static str) -> Self {
        Self::everywhere(name, REJECT, None)
    }
}

const REJECT: &str = "reject";
const SCRAM: &str = "scram-sha-256";
const GSS: &str = "gss include_realm=0 krb_realm=XTASK.TEST";
const OAUTH: &str = "oauth issuer=https://oauth.test scope=openid";

/// Every role except [`ADMIN`]. The servers reject a role that is not in this list.
const ROLES: [Role; 12] = [
    Role::everywhere("trust", "trust", None),
    Role::everywhere("cleartext", "password", Some((SCRAM, "'cleartext-secret'"))),
    Role::everywhere("md5", "md5", Some(("md5", "'md5-secret'"))),
    Role::everywhere("scram", SCRAM, Some((SCRAM, "'scram-secret'"))),
    // The password of the role `saslprep` contains a no-break space and a Roman numeral nine, which SASLprep turns into a space and "IX".
    Role::everywhere("saslprep", SCRAM, Some((SCRAM, r"U&'pa\00A0ss\2168'"))),
    // The roles `tls_only` and `clear_only` are for tests of a client's second attempt. With sslmode=allow the client first tries TCP
    // without TLS, then TLS; with sslmode=prefer the order is reversed.
    Role { tls: SCRAM, password: Some((SCRAM, "'tls_only-secret'")), ..Role::nowhere("tls_only") },
    Role { clear: SCRAM, password: Some((SCRAM, "'clear_only-secret'")), ..Role::nowhere("clear_only") },
    // The common name in the client certificate must be the name of the role.
    Role { tls: "cert", ..Role::nowhere("cert") },
    Role {
        tls: "scram-sha-256 clientcert=verify-full",
        password: Some((SCRAM, "'certscram-secret'")),
        ..Role::nowhere("certscram")
    },
    // `pg_ident.conf` maps the operating system's user to this role.
    Role { socket: "peer map=xtask", ..Role::nowhere("peer") },
    // GSSAPI is not supported on Unix sockets.
    Role { tls: GSS, clear: GSS, needs: Some("gss"), ..Role::nowhere("gss") },
    Role { needs: Some("oauth"), ..Role::everywhere("oauth", OAUTH, None) },
];

/// The content of `pg_hba.conf`. `special` is the method that this server supports in addition to the usual methods, such as `gss`. A role
/// that needs a different special method gets `reject` rules.
pub(super) fn hba(special: Option<&str>) -> String {
    let mut text = String::from("# A role that is not listed is rejected.\n");
    let mut rules = |database: &str, role: &Role| {
        let method = |method| if role.needs.is_none() || role.needs == special { method } else { REJECT };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "local {database} {} {}", role.name, method(role.socket));
        let _ = writeln!(text, "hostssl {database} {} 127.0.0.1/32 {}", role.name, method(role.tls));
        let _ = writeln!(text, "hostnossl {database} {} 127.0.0.1/32 {}", role.name, method(role.clear));
    };
    let admin = Role::everywhere(ADMIN, "trust", None);
    rules("all", &admin);
    rules("replication", &admin);
    for role in &ROLES {
        rules("all", role);
    }
    text
}

/// The content of `pg_ident.conf`: the operating system's user `system_user` may log in as the role `peer`.
pub(super) fn ident(system_user: &str) -> String {
    format!("xtask \"{system_user}\" peer\n")
}

/// The SQL statements that make the roles and the database `test`. Every role may create objects in this database. Each statement is on its
/// own line, as single-user mode requires.
pub(super) fn statements() -> String {
    let mut sql = String::new();
    for Role { name, password, .. } in &ROLES {
        let _ = match password {
            None => writeln!(sql, "CREATE ROLE \"{name}\" LOGIN;"),
            Some((form, secret)) => {
                writeln!(
                    sql,
                    "SET password_encryption = '{form}';\nCREATE ROLE \"{name}\" LOGIN PASSWORD {secret};"
                )
            }
        };
    }
    let names: Vec<String> = ROLES.iter().map(|role| format!("\"{}\"", role.name)).collect();
    let names = names.join(", ");
    // Single-user mode has access to one database only, here `template1`. A new database is a copy of `template1`, so the database `test`
    // has this grant too.
    let _ = writeln!(sql, "GRANT ALL ON SCHEMA public TO {names};");
    let _ = writeln!(sql, "CREATE DATABASE test;");
    let _ = writeln!(sql, "GRANT CREATE ON DATABASE test TO {names};");
    sql
}

#[cfg(test)]
mod tests {
    use super::{GSS, OAUTH, ROLES, hba, ident, statements};
    use crate::servers::{kdc, oauth};

    #[test]
    fn every_role_has_one_rule_for_each_link() {
        for special in [None, Some("gss"), Some("oauth")] {
            let hba = hba(special);
            for rule in [
                "local all scram scram-sha-256",
                "hostssl all scram 127.0.0.1/32 scram-sha-256",
                "hostnossl all scram 127.0.0.1/32 scram-sha-256",
                "hostnossl all cleartext 127.0.0.1/32 password",
                "hostssl all md5 127.0.0.1/32 md5",
                "hostnossl replication admin 127.0.0.1/32 trust",
                "hostssl all tls_only 127.0.0.1/32 scram-sha-256",
                "hostnossl all tls_only 127.0.0.1/32 reject",
                "hostssl all clear_only 127.0.0.1/32 reject",
                "hostnossl all clear_only 127.0.0.1/32 scram-sha-256",
                "local all peer peer map=xtask",
                "hostssl all cert 127.0.0.1/32 cert",
                "local all cert reject",
            ] {
                assert_eq!(hba.lines().filter(|line| *line == rule).count(), 1, "{rule}, {special:?}");
            }
            for role in &ROLES {
                let kinds: Vec<_> = hba
                    .lines()
                    .filter_map(|line| {
                        let words: Vec<_> = line.split(' ').collect();
                        (words[1] == "all" && words[2] == role.name).then(|| words[0].to_owned())
                    })
                    .collect();
                assert_eq!(kinds, ["local", "hostssl", "hostnossl"], "{}, {special:?}", role.name);
            }
        }
    }

    #[test]
    fn no_rule_is_for_all_roles() {
        let hba = hba(Some("oauth"));
        let rules = hba.lines().filter(|line| !line.starts_with('#'));
        let roles: Vec<_> = rules.map(|line| line.split(' ').nth(2) == Some("all")).collect();
        // The file must have three rules for each role, and six rules for the superuser: three of these are for replication connections.
        assert_eq!(roles, vec![false; (ROLES.len() + 2) * 3]);
    }

    #[test]
    fn only_the_superuser_and_one_role_are_trusted() {
        for line in hba(Some("gss")).lines().filter(|line| line.ends_with(" trust")) {
            assert!(matches!(line.split(' ').nth(2), Some("admin" | "trust")), "{line}");
        }
    }

    #[test]
    fn a_method_that_the_server_does_not_support_is_in_no_rule() {
        for special in [None, Some("gss"), Some("oauth")] {
            let hba = hba(special);
            for (method, rule) in [("gss", GSS), ("oauth", OAUTH)] {
                assert_eq!(hba.contains(rule), special == Some(method), "{rule}, {special:?}");
            }
        }
        assert!(GSS.ends_with(kdc::REALM));
        assert_eq!(OAUTH, format!("oauth issuer={} scope={}", oauth::ISSUER, oauth::SCOPE));
    }

    #[test]
    fn a_password_is_stored_in_the_form_of_its_role() {
        let sql = statements();
        assert!(sql.contains(
            "SET password_encryption = 'md5';\nCREATE ROLE \"md5\" LOGIN PASSWORD 'md5-secret';\n"
        ));
        assert!(sql.contains("SET password_encryption = 'scram-sha-256';\nCREATE ROLE \"scram\" LOGIN PASSWORD 'scram-secret';\n"));
    }

    #[test]
    fn every_statement_is_on_its_own_line() {
        assert!(statements().lines().all(|line| line.ends_with(';') && line.matches(';').count() == 1));
    }

    #[test]
    fn the_ident_map_lets_one_system_user_log_in_as_peer() {
        assert_eq!(ident("root"), "xtask \"root\" peer\n");
    }
}
