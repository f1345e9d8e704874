//! Service files: named groups of connection parameters.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-pgservice.html)

use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::parameters::Values;
use crate::error::ServiceError;

/// Adds the parameters of a service to `values`, except parameters that already have a value. Returns whether the file defines the service.
pub(super) fn read(file: &Path, service: &[u8], values: &mut Values) -> Result<bool, ServiceError> {
    let text = fs::read(file).map(Zeroizing::new);
    let text = text.map_err(|error| ServiceError::Unreadable { file: file.into(), error: error.kind() })?;
    add(&text, service, values).map_err(|(line, problem)| ServiceError::Line {
        file: file.into(),
        line,
        problem,
    })
}

/// Does the work of `read` on the text of the file. The error holds the number of the line, and the fault.
fn add(text: &[u8], service: &[u8], values: &mut Values) -> Result<bool, (usize, &'static str)> {
    let mut found = false;
    for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        match line.first() {
            None | Some(b'#') => {}
            Some(b'[') if found => break,
            Some(b'[') => {
                // As in libpq, text after the closing bracket is ignored.
                let rest = line.get(1..).and_then(|name| name.strip_prefix(service));
                found = rest.is_some_and(|rest| rest.starts_with(b"]"));
            }
            Some(_) if !found => {}
            Some(_) => parameter(line, values).map_err(|problem| (number, problem))?,
        }
    }
    Ok(found)
}

fn parameter(line: &[u8], values: &mut Values) -> Result<(), &'static str> {
    if line.starts_with(b"ldap") {
        return Err("services in LDAP are not supported");
    }
    let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
        return Err("a parameter has no \"=\"");
    };
    let (name, value) = line.split_at(equals);
    match name {
        b"service" | b"servicefile" => Err("a service cannot refer to another service"),
        name => {
            let value = Zeroizing::new(value.get(1..).unwrap_or_default().to_vec());
            let name = str::from_utf8(name).unwrap_or_default();
            values.fill(name, value).map_err(|_| "the parameter is not known")
        }
    }
}
