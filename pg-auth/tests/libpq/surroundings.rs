//! Generator of valid and invalid environment variables, service files and password files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fastrand::Rng;

use super::generate::{parameter, pick, quoted};

/// The environment variables that libpq 18 reads for missing parameters. The variables for hosts are left out: each string has a host.
const VARIABLES: &[(&str, &str)] = &[
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGOPTIONS", "options"),
    ("PGAPPNAME", "application_name"),
    ("PGCLIENTENCODING", "client_encoding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGSSLMODE", "sslmode"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLCOMPRESSION", "sslcompression"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLSNI", "sslsni"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGMINPROTOCOLVERSION", "min_protocol_version"),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGGSSDELEGATION", "gssdelegation"),
    ("PGKRBSRVNAME", "krbsrvname"),
];

/// Socket directories that do not exist. Some contain characters with a special meaning in a password file.
const HOSTS: &[&str] = &["/nonexistent", "/nonexistent/a:b", "/nonexistent/a\\b", "/nonexistent/*"];
/// Names of users and databases. Some contain characters with a special meaning in a password file.
const NAMES: &[&str] = &["alice", "bob:", "*", "a\\b", "é", "alic"];

/// Generates a connection string and its environment variables. If a variable names a file, creates the file in `dir`.
pub(crate) fn string(rng: &mut Rng, dir: &Path) -> (String, BTreeMap<String, String>) {
    let mut variables = BTreeMap::new();
    for _ in 0..rng.usize(..4) {
        let (variable, name) = pick(rng, VARIABLES);
        let value = loop {
            let (known, value) = parameter(rng);
            if known == name {
                break value;
            }
        };
        variables.insert(variable.to_owned(), value.to_owned());
    }
    let mut string = String::from("hostaddr=''");
    for _ in 0..rng.usize(..3) {
        let (name, value) = parameter(rng);
        let own = name.starts_with("servicefile") || name.starts_with("scram_iterations");
        if !own && !name.starts_with("host") {
            string += &format!(" {name}={}", quoted(rng, value));
        }
    }
    for (name, values) in [("host", HOSTS), ("user", NAMES), ("dbname", NAMES)] {
        let value = pick(rng, values);
        string += &format!(" {name}={}", quoted(rng, value));
    }
    if rng.bool() {
        write(&dir.join("service"), &service_file(rng));
        variables.insert("PGSERVICEFILE".into(), dir.join("service").display().to_string());
        match rng.bool() {
            true => string += pick(rng, &[" service=one", " service=two", " service=''"]),
            false => drop(variables.insert("PGSERVICE".into(), pick(rng, &["one", "two", "on"]).into())),
        }
    }
    if rng.bool() {
        write(&dir.join("pass"), &password_file(rng));
        let file = dir.join("pass").display().to_string();
        match rng.bool() {
            true => string += &format!(" passfile={file}"),
            false => drop(variables.insert("PGPASSFILE".into(), file)),
        }
    }
    (string, variables)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

fn service_file(rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..rng.usize(1..12) {
        let line = match rng.u8(..32) {
            0..=2 => "[one]".into(),
            3..=5 => "[two]".into(),
            6 => pick(rng, &["[one", "[ one]", "[one]]", "[]", " [two] \t", "[two]x"]).into(),
            7 => pick(rng, &["", "  ", "# comment", " # [one]", "#[two]"]).into(),
            8 => pick(rng, &["nonsense", "service=x", "user =x", "ldap://h", "=x", "requiressl=1", "Port=1"])
                .into(),
            _ => {
                let (name, value) = parameter(rng);
                if name.starts_with("host")
                    || name.starts_with("service")
                    || name.starts_with("scram_iterations")
                {
                    continue;
                }
                let (before, after) =
                    (pick(rng, &["", "", " ", "\t"]), pick(rng, &["", "", " ", "\r", " \t"]));
                format!("{before}{name}={value}{after}")
            }
        };
        text += &line;
        text.push('\n');
    }
    if rng.bool() { text } else { text.trim_end_matches('\n').into() }
}

fn password_file(rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..rng.usize(1..8) {
        let fields =
            [pick(rng, HOSTS), pick(rng, &["5432", "5432", "1"]), pick(rng, NAMES), pick(rng, NAMES)];
        let mut line = String::from(if rng.u8(..10) == 0 { "#" } else { "" });
        for field in fields {
            line += &match rng.u8(..8) {
                0..=3 => "*".into(),
                4 => String::from(field),
                5 => field.chars().flat_map(|c| ['\\', c]).collect(),
                _ => field.replace('\\', "\\\\").replace(':', "\\:"),
            };
            line += if rng.u8(..20) == 0 { "" } else { ":" };
        }
        line += pick(rng, &["secret", "a\\:b", "a:b", "a\\\\", "a\\", "", " x ", "é", "*"]);
        text += &line;
        text += pick(rng, &["\n", "\n", "\r\n", "\n\n"]);
    }
    if rng.bool() { text } else { text.trim_end().into() }
}
