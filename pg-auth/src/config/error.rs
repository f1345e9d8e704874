//! Errors of a configuration.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error in a configuration, a connection string or a stored password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The connection string is malformed.
    Syntax {
        /// The part of the connection string that is missing or was not expected.
        problem: &'static str,
        /// The place of the fault, in bytes from the start of the string.
        offset: usize,
    },
    /// The connection string has a parameter that neither this library nor libpq knows. The name is replaced by `""` if the name may be
    /// part of a password: the name is longer than 63 bytes, or has a character other than ASCII letters, digits, `_`, `.` and `-`.
    UnknownParameter(Box<str>),
    /// Parameters of libpq whose values ask for features that this library does not have, for example `gssencmode=require`. This is an
    /// error because ignoring the parameters could change the connection that the caller gets. Lists all such parameters of the connection
    /// string.
    Unsupported(Box<[UnsupportedParameter]>),
    /// The value of the parameter with this name is invalid.
    InvalidValue(&'static str),
    /// The value of this parameter is not UTF-8. Only passwords, and file paths on Unix, may contain other bytes.
    NotUtf8(&'static str),
    /// A value, or the name of a start-up parameter, contains a NUL byte. Messages cannot carry a NUL byte within a string.
    Nul(&'static str),
    /// Several ports are configured, and their number differs from the number of hosts.
    PortCount {
        /// Number of configured hosts.
        hosts: usize,
        /// Number of configured ports.
        ports: usize,
    },
    /// Addresses (`hostaddr`) are configured, and their number differs from the number of hosts.
    AddressCount {
        /// Number of configured hosts.
        hosts: usize,
        /// Number of configured addresses.
        addresses: usize,
    },
    /// `sslmode` is weaker than another setting demands.
    WeakSslMode {
        /// The setting that demands a stronger `sslmode`, for example `sslrootcert=system`.
        with: &'static str,
        /// The weakest `sslmode` that the setting in `with` permits.
        least: &'static str,
    },
    /// The setting with this name is required, but missing.
    Missing(&'static str),
    /// A start-up parameter is set twice, or has an invalid name: empty, `user` or `database`.
    ReservedParameter(Box<str>),
    /// The service that the configuration names cannot be used.
    Service(Box<ServiceError>),
    /// A stored password does not have the required form. The string is the required form, for example `md5<32 hexadecimal digits>`.
    StoredPassword(&'static str),
}

/// A service (`service`, `PGSERVICE`) that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceError {
    /// No service file defines the service.
    Undefined {
        /// The name of the service.
        service: String,
    },
    /// The service file cannot be read.
    Unreadable {
        /// The path of the service file.
        file: PathBuf,
        /// The operating system's error when the file was read.
        error: io::ErrorKind,
    },
    /// A line of the service file is invalid.
    Line {
        /// The path of the service file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// A description of the fault in the line.
        problem: &'static str,
    },
}

/// A parameter whose value asks for an unsupported feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedParameter {
    /// The parameter's keyword in a connection string.
    pub name: &'static str,
    /// The reason why the parameter is rejected, and the remedy if there is one.
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
                write!(f, "sslmode is too weak for {with}: the weakest permitted mode is \"{least}\"")
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
