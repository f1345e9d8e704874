//! Deliberate differences from psql, each with its reason. Those here are of every adapter; a TLS library may add its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::cells::{Cell, Link, Method, Proof, Root};
use crate::outcome::Outcome;

/// A difference from psql.
pub(crate) struct Exception {
    pub(crate) reason: &'static str,
    /// The logins that it is about.
    pub(crate) cells: fn(&Cell) -> bool,
    /// The outcomes of psql and of this crate, as [`Outcome::brief`] has them. Each pair has to occur.
    pub(crate) outcomes: &'static [(&'static str, &'static str)],
}

/// Exceptions of this project as a whole.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        reason: "a clear-text password goes over TCP without TLS only with sslmode=disable; with allow TLS is tried instead",
        cells: |cell| {
            let tcp = matches!(cell.link, Link::Clear | Link::Tls12 | Link::Tls13);
            cell.method == Method::Cleartext && tcp && ["allow", "prefer"].contains(&cell.sslmode)
        },
        outcomes: &[
            ("logged in", "client (clear-text password)"),
            ("logged in", "client (clear-text password), then client (no TLS)"),
            ("logged in", "logged in by TLS"),
            ("server", "client (clear-text password)"),
            ("server, then client (no TLS)", "client (clear-text password), then client (no TLS)"),
            ("server, then server", "client (clear-text password), then client (no TLS)"),
            ("server, then server", "client (clear-text password), then server"),
            ("server, then server", "server, then client (clear-text password)"),
            ("client (no password)", "client (clear-text password)"),
            ("client (no password)", "client (clear-text password), then client (no TLS)"),
            ("client (no password)", "client (clear-text password), then client (no password)"),
        ],
    },
    Exception {
        reason: "a bearer token goes without TLS only where the caller allows that (`Tokens::allow_plain_local`); with \
                 sslmode=allow TLS is tried instead",
        cells: |cell| cell.method == Method::OAuth && cell.proof != Proof::Missing,
        outcomes: &[
            ("logged in", "client (token in clear)"),
            ("logged in", "client (token in clear), then client (no TLS)"),
            ("logged in", "logged in by TLS"),
            ("server", "client (token in clear)"),
            ("server, then client (no TLS)", "client (token in clear), then client (no TLS)"),
            ("server, then server", "client (token in clear), then server"),
        ],
    },
    Exception {
        reason: "a token that was refused over TLS is not tried again in clear",
        cells: |cell| cell.method == Method::OAuth && cell.sslmode == "prefer",
        outcomes: &[("server, then server", "server")],
    },
    Exception {
        reason: "with sslmode=allow a server that has refused a login in clear, and has no TLS, is not asked again in clear; \
                 libpq 15 does that, libpq 18 does not",
        cells: |cell| cell.major == 15 && cell.link == Link::Clear && cell.sslmode == "allow",
        outcomes: &[("server, then server", "server, then client (no TLS)")],
    },
    Exception {
        reason: "sslmode=verify-full without sslrootcert trusts the authorities that the system trusts",
        cells: |cell| cell.root == Root::None && cell.sslmode == "verify-full",
        outcomes: &[("client (no root certificate)", "client (certificate not trusted)")],
    },
    Exception {
        reason: "a file that sslrootcert names has to exist in every mode, where libpq verifies nothing without it",
        cells: |cell| cell.root == Root::NoFile && ["prefer", "require"].contains(&cell.sslmode),
        outcomes: &[("logged in by TLS", "client (no root certificate)")],
    },
    Exception {
        reason: "GSSAPI encrypts no connection: gssencmode=prefer, the default, does without",
        cells: |cell| cell.more == "gssencmode=prefer",
        outcomes: &[
            ("logged in by GSSAPI encryption", "logged in"),
            ("logged in by GSSAPI encryption", "logged in by TLS"),
            ("logged in by GSSAPI encryption", "client (no TLS)"),
        ],
    },
];

/// Outcomes that were compared.
pub(crate) struct Verdicts {
    exceptions: Vec<&'static Exception>,
    alike: usize,
    /// Logins for each pair of outcomes of each exception.
    excepted: BTreeMap<(usize, usize), usize>,
    faults: Vec<String>,
}

impl Verdicts {
    pub(crate) fn new(exceptions: Vec<&'static Exception>) -> Self {
        Self { exceptions, alike: 0, excepted: BTreeMap::new(), faults: Vec::new() }
    }

    /// Compares two outcomes.
    pub(crate) fn judge(&mut self, cell: &Cell, psql: &Outcome, ours: &Outcome) {
        if psql == ours {
            self.alike += 1;
            return;
        }
        let briefs = (psql.brief(), ours.brief());
        let found = self.pairs().find(|(_, exception, (psql, ours))| {
            (exception.cells)(cell) && (*psql, *ours) == (briefs.0.as_str(), briefs.1.as_str())
        });
        match found.map(|(place, ..)| place) {
            Some(place) => *self.excepted.entry(place).or_default() += 1,
            None => self.faults.push(format!("{cell}\n    psql: {psql}\n    ours: {ours}")),
        }
    }

    /// Every pair of outcomes of the exceptions, with its place.
    fn pairs(
        &self,
    ) -> impl Iterator<Item = ((usize, usize), &'static Exception, &'static (&'static str, &'static str))>
    {
        self.exceptions.iter().enumerate().flat_map(|(row, exception)| {
            let pairs = exception.outcomes.iter().enumerate();
            pairs.map(move |(pair, outcomes)| ((row, pair), *exception, outcomes))
        })
    }

    /// Fails if there is a difference that is no exception, or an exception without a difference.
    pub(crate) fn assert(self) {
        let unused = self.pairs().filter(|(place, ..)| !self.excepted.contains_key(place));
        let unused = unused.map(|(_, exception, (psql, ours))| {
            format!("psql {psql:?} and ours {ours:?} no longer occurs as an exception: {}", exception.reason)
        });
        let faults: Vec<String> = self.faults.iter().cloned().chain(unused).collect();
        assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n"));
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excepted: usize = self.excepted.values().sum();
        write!(f, "{} as psql, {excepted} by {} exceptions", self.alike, self.exceptions.len())
    }
}
