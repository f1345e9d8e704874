//! Deliberate differences from psql, each with its reason. The tests of `pg-stream-tokio` use all exceptions. The tests of
//! `pg-stream-async-std` use only the exceptions about `sslrootcert`.

use std::collections::BTreeMap;
use std::fmt;

use crate::cells::{Cell, Link, Method, Proof, Root};
use crate::outcome::Outcome;

/// A deliberate difference from psql.
pub(crate) struct Exception {
    pub(crate) reason: &'static str,
    /// Returns whether the exception applies to a cell.
    pub(crate) cells: fn(&Cell) -> bool,
    /// Pairs of outcomes: the outcome of psql, and the outcome of this project, in the form of [`Outcome::brief`]. The test fails if a pair
    /// occurs in no login.
    pub(crate) outcomes: &'static [(&'static str, &'static str)],
}

/// Exceptions for `pg-stream-tokio` and `pg-stream-async-std`.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        reason: "a clear-text password is sent over TCP without TLS only with sslmode=disable; with allow TLS is tried instead",
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
        reason: "a bearer token is sent without TLS only if the caller allows it (`Tokens::allow_plain_local`); with \
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
        reason: "a token that was rejected over TLS is not sent again in clear",
        cells: |cell| cell.method == Method::OAuth && cell.sslmode == "prefer",
        outcomes: &[("server, then server", "server")],
    },
    Exception {
        reason: "with sslmode=allow, a login in clear that a server without TLS has rejected is not repeated in clear; \
                 libpq 15 repeats it, libpq 18 does not",
        cells: |cell| cell.major == 15 && cell.link == Link::Clear && cell.sslmode == "allow",
        outcomes: &[("server, then server", "server, then client (no TLS)")],
    },
    Exception {
        reason: "sslmode=verify-full without sslrootcert trusts the authorities that the system trusts",
        cells: |cell| cell.root == Root::None && cell.sslmode == "verify-full",
        outcomes: &[("client (no root certificate)", "client (certificate not trusted)")],
    },
    Exception {
        reason: "the file of sslrootcert has to exist in every mode; libpq verifies nothing if it is missing",
        cells: |cell| cell.root == Root::NoFile && ["prefer", "require"].contains(&cell.sslmode),
        outcomes: &[("logged in by TLS", "client (no root certificate)")],
    },
    Exception {
        reason: "GSSAPI encryption is not supported: with gssencmode=prefer, the default, it is not used",
        cells: |cell| cell.more == "gssencmode=prefer",
        outcomes: &[
            ("logged in by GSSAPI encryption", "logged in"),
            ("logged in by GSSAPI encryption", "logged in by TLS"),
            ("logged in by GSSAPI encryption", "client (no TLS)"),
        ],
    },
];

/// Results of the comparisons of psql and this project so far.
pub(crate) struct Verdicts {
    exceptions: Vec<&'static Exception>,
    alike: usize,
    /// Number of logins for each pair of outcomes of each exception. The key is the index of the exception and the index of the pair.
    excepted: BTreeMap<(usize, usize), usize>,
    faults: Vec<String>,
}

impl Verdicts {
    pub(crate) fn new(exceptions: Vec<&'static Exception>) -> Self {
        Self { exceptions, alike: 0, excepted: BTreeMap::new(), faults: Vec::new() }
    }

    /// Compares the outcomes of the same login by psql and by this project, and records the result.
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

    /// Returns every pair of outcomes of every exception, with its key in `excepted`.
    fn pairs(
        &self,
    ) -> impl Iterator<Item = ((usize, usize), &'static Exception, &'static (&'static str, &'static str))>
    {
        self.exceptions.iter().enumerate().flat_map(|(row, exception)| {
            let pairs = exception.outcomes.iter().enumerate();
            pairs.map(move |(pair, outcomes)| ((row, pair), *exception, outcomes))
        })
    }

    /// Fails if a difference between psql and this project is not a listed exception, or if a pair of outcomes of an exception did not
    /// occur.
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
