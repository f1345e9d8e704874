//! Faults of a configuration.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A fault of a configuration, a connection string or a stored password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The connection string cannot be read at this byte.
    Syntax {
        /// The fault: the part that is missing or was not expected.
        problem: &'static str,
        /// Its place, in bytes from the start of the string.
        offset: usize,
    },
    /// The connection string has a parameter that libpq does not know either. Empty when the name is too odd to be shown.
    UnknownParameter(Box<str>),
    /// libpq knows these parameters, this library cannot do what they ask for, and to ignore them could change what the caller gets. All
    /// of a connection string's are named.
    Unsupported(Box<[UnsupportedParameter]>),
    /// The parameter's value is not one of those it can have.
    InvalidValue(&'static str),
    /// The value is not UTF-8; only a password need not be.
    NotUtf8(&'static str),
    /// The value, or the name of a start-up parameter, holds a NUL byte, which no message can carry.
    Nul(&'static str),
    /// There are several ports, and not as many as there are hosts.
    PortCount {
        /// Number of hosts.
        hosts: usize,
        /// Number of ports.
        ports: usize,
    },
    /// There are addresses (`hostaddr`), and not as many as there are hosts.
    AddressCount {
        /// Number of hosts.
        hosts: usize,
        /// Number of addresses.
        addresses: usize,
    },
    /// `sslmode` leaves more open than another setting allows.
    WeakSslMode {
        /// That setting.
        with: &'static str,
        /// The least mode that goes with it.
        least: &'static str,
    },
    /// The value must be there.
    Missing(&'static str),
    /// A start-up parameter has a name that it cannot have: empty, or one that has a field of its own.
    ReservedParameter(Box<str>),
    /// A service cannot be used.
    Service(Box<ServiceError>),
    /// A stored password is not of the form it should have; the name of that form is given.
    StoredPassword(&'static str),
}

/// A service (`service`, `PGSERVICE`) that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceError {
    /// No service file defines it.
    Undefined {
        /// The service.
        service: String,
    },
    /// The service file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        error: io::ErrorKind,
    },
    /// A line of the service file is not understood.
    Line {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The fault.
        problem: &'static str,
    },
}

/// A parameter with a value that asks for something that cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedParameter {
    /// The parameter.
    pub name: &'static str,
    /// The reason for refusing it, and the remedy if there is one.
    pub reason: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { problem, offset } => {
                write!(f, "invalid connection string at byte {offset}: {problem}")
            }
            Self::UnknownParameter(name) if name.is_empty() => {
                f.write_str("invalid connection parameter name")
            }
            Self::UnknownParameter(name) => write!(f, "invalid connection parameter \"{name}\""),
            Self::Unsupported(parameters) => {
                for (at, UnsupportedParameter { name, reason }) in parameters.iter().enumerate() {
                    let before = if at == 0 { "unsupported: " } else { ", " };
                    write!(f, "{before}\"{name}\" ({reason})")?;
                }
                Ok(())
            }
            Self::InvalidValue(name) => write!(f, "invalid value for \"{name}\""),
            Self::NotUtf8(name) => write!(f, "the value of \"{name}\" is not UTF-8"),
            Self::Nul(name) => write!(f, "\"{name}\" holds a NUL byte"),
            Self::PortCount { hosts, ports } => {
                write!(f, "could not match {ports} port numbers to {hosts} hosts")
            }
            Self::AddressCount { hosts, addresses } => {
                write!(f, "could not match {addresses} addresses (hostaddr) to {hosts} hosts")
            }
            Self::WeakSslMode { with, least } => {
                write!(f, "sslmode is too weak for {with}, which demands \"{least}\" or more")
            }
            Self::Missing(name) => write!(f, "no \"{name}\" is given"),
            Self::ReservedParameter(name) => {
                write!(f, "\"{}\" cannot be set as a start-up parameter", name.escape_debug())
            }
            Self::Service(error) => error.fmt(f),
            Self::StoredPassword(form) => write!(f, "not a stored password of the form {form}"),
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined { service } => {
                write!(f, "no service file defines the service \"{}\"", service.escape_debug())
            }
            Self::Unreadable { file, error } => {
                write!(f, "service file \"{}\" cannot be read: {error}", file.display())
            }
            Self::Line { file, line, problem } => {
                write!(f, "line {line} of service file \"{}\": {problem}", file.display())
            }
        }
    }
}

impl Error for ConfigError {}
impl Error for ServiceError {}

impl From<ServiceError> for ConfigError {
    fn from(error: ServiceError) -> Self {
        Self::Service(Box::new(error))
    }
}
