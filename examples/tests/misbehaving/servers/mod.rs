//! A table of servers that misbehave or are unusual. The clients of both adapters connect to each server.
//!
//! A row has the name of the server, its script, and the client's expected outcome: [`SESSION`], or a part of the error's text. The test
//! also checks for each row:
//!
//! - The client ends before its time limit, except in the rows that test the time limit.
//! - The client makes one connection for each script of the row.
//! - The error does not contain the password.
//! - The memory of the client stays below the limit of the row.

mod cut;
mod lengths;
mod login;
mod scram;
mod session;
mod start;
mod tls;

use std::time::Duration;

use pg_auth::config::{BindingMode, Host, RootCert, SslMode};
use pg_auth::{Config, ConnectErrorKind};
use tempfile::TempDir;

use crate::adapters::{Adapter, Misbehaviour, check};
use crate::certificates::made;
use crate::peer::{Act, PASSWORD, Playing, Scram, Script, playing};
use crate::wire::{sasl, welcome};

/// Expected outcome: the login succeeds.
const SESSION: &str = "a session";

/// The largest amount of memory that a connection attempt may take, in bytes. A row may set a different limit. The two buffers of the
/// connection and the state of TLS take most of this memory.
const MAX_MEMORY: u64 = 512 * 1024;

/// Time limit of most connection attempts. If such an attempt lasts until this limit, the test fails.
const LONG: Duration = Duration::from_secs(40);

/// Time limit of a connection attempt to a server that never answers. Only the time limit can end such an attempt.
const SHORT: Duration = Duration::from_millis(200);

/// A misbehaving server, and the expected outcome of a connection attempt.
struct Row {
    name: String,
    config: Config,
    scripts: Vec<Script>,
    /// The scripts of the second host, one for each connection to this host. Empty if there is no second host.
    second: Vec<Script>,
    /// A last host that the client must not try.
    last_host: Option<Host>,
    host: &'static str,
    unix: bool,
    expected: &'static str,
    /// The expected outcome with native-tls. `None` if it is the same as with rustls.
    native: Option<&'static str>,
    /// A text from the server that the error must not contain.
    hidden: Option<&'static str>,
    most: u64,
}

/// Creates a row with a server that is reached over TCP, without TLS.
fn row(name: impl Into<String>, script: impl Into<Script>, expected: &'static str) -> Row {
    let config = Config::new("alice").password(PASSWORD).sslmode(SslMode::Disable).connect_timeout(LONG);
    Row {
        name: name.into(),
        config,
        scripts: vec![script.into()],
        second: Vec::new(),
        last_host: None,
        host: "localhost",
        unix: false,
        expected,
        native: None,
        hidden: None,
        most: MAX_MEMORY,
    }
}

impl Row {
    /// Changes the client's settings.
    fn with(mut self, change: impl FnOnce(Config) -> Config) -> Self {
        self.config = change(self.config);
        self
    }

    /// Sets `sslmode`.
    fn sslmode(self, mode: SslMode) -> Self {
        self.with(|config| config.sslmode(mode))
    }

    /// Sets `sslmode=verify-full` with the root certificate of the tests.
    fn verifying(self) -> Self {
        self.with(|config| {
            let mut config = config.sslmode(SslMode::VerifyFull);
            config.tls.root = Some(RootCert::File(made().file("root")));
            config
        })
    }

    /// Sets `channel_binding=require`.
    fn binding(self) -> Self {
        self.with(|config| config.channel_binding(BindingMode::Require))
    }

    /// Sets a short time limit for the connection attempt, in a row in which the attempt must end at the time limit.
    fn impatient(self) -> Self {
        self.with(|config| config.connect_timeout(SHORT))
    }

    /// Adds a script: the client must connect to the first host once more, and the server plays this script on the new connection.
    fn again(mut self, script: impl Into<Script>) -> Self {
        self.scripts.push(script.into());
        self
    }

    /// Adds a second host with this script. Called again, adds a script for a further connection to the second host.
    fn second(mut self, script: impl Into<Script>) -> Self {
        self.second.push(script.into());
        self
    }

    /// Uses a Unix-domain socket in place of TCP.
    fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    fn native(mut self, expected: &'static str) -> Self {
        self.native = Some(expected);
        self
    }

    fn hides(mut self, text: &'static str) -> Self {
        self.hidden = Some(text);
        self
    }

    fn most(mut self, bytes: u64) -> Self {
        self.most = bytes;
        self
    }

    fn start(&self, scripts: &[Script], at: usize, dir: &TempDir) -> (Playing<Vec<u8>>, Host) {
        if self.unix {
            let number = u16::try_from(at).expect("a few hosts") + 1;
            let file = dir.path().join(format!(".s.PGSQL.{number}"));
            return (playing(scripts.to_vec(), Some(file)), Host::new(dir.path().to_string_lossy(), number));
        }
        let server = playing(scripts.to_vec(), None);
        let host = Host::at_address(self.host, [127, 0, 0, 1], server.port());
        (server, host)
    }
}

impl Misbehaviour for Row {
    const PEERS: &'static str = "servers";

    fn name(&self) -> &str {
        &self.name
    }

    fn play(&self, adapter: Adapter) -> Result<u64, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = self.config.clone();
        let mut hosts: Vec<(Playing<Vec<u8>>, usize)> = Vec::new();
        for scripts in [&self.scripts, &self.second] {
            if !scripts.is_empty() {
                let (server, host) = self.start(scripts, hosts.len(), &dir);
                config = config.host(host);
                hosts.push((server, scripts.len()));
            }
        }
        config.hosts.extend(self.last_host.clone());
        let outcome = adapter.connect(&config);
        let mut made = Vec::new();
        let mut planned = Vec::new();
        for (server, scripts) in hosts {
            made.push(server.end().len());
            planned.push(scripts);
        }
        let expected = match adapter {
            Adapter::Tokio => self.expected,
            Adapter::Smol | Adapter::AsyncStd => self.native.unwrap_or(self.expected),
        };
        match &outcome.result {
            Ok(_) if expected == SESSION => {}
            Ok(_) => return Err(format!("a session instead of \"{expected}\"")),
            Err(error) => {
                let text = error.to_string();
                let everything = format!("{text} {error:?}");
                if everything.contains(PASSWORD) {
                    return Err(format!("the password is shown: {everything}"));
                }
                if let Some(hidden) = self.hidden
                    && everything.contains(hidden)
                {
                    return Err(format!("\"{hidden}\" is shown: {everything}"));
                }
                let is_late = matches!(error.kind(), ConnectErrorKind::Timeout(_));
                if expected == SESSION
                    || !text.contains(expected)
                    || is_late && self.config.connect_timeout == Some(LONG)
                {
                    return Err(format!("expected \"{expected}\", found \"{text}\""));
                }
            }
        }
        if made != planned {
            return Err(format!("{made:?} connections were made to the hosts instead of {planned:?}"));
        }
        if outcome.bytes > self.most {
            return Err(format!("{} bytes were taken, more than {}", outcome.bytes, self.most));
        }
        Ok(outcome.bytes)
    }
}

/// Step that sends bytes.
fn say(bytes: impl AsRef<[u8]>) -> Act {
    Act::Say(bytes.as_ref().to_vec())
}

/// Script that reads a packet without a code, such as the start-up message, and then sends bytes.
fn answer(bytes: impl AsRef<[u8]>) -> Script {
    vec![Act::Packet, say(bytes)]
}

/// Script that reads the start-up message, offers SCRAM-SHA-256, and performs the SCRAM exchange.
fn scram(scram: Scram) -> Script {
    vec![Act::Packet, say(sasl(&["SCRAM-SHA-256"])), Act::Scram(scram)]
}

/// Script of a complete, valid login by SCRAM-SHA-256.
fn good() -> Script {
    [scram(Scram::HONEST), vec![say(welcome())]].concat()
}
