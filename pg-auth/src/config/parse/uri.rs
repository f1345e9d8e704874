//! Connection strings of the form `postgres://[user[:password]@][host[:port],…][/database][?name=value&…]`.

use zeroize::Zeroizing;

use crate::config::SslMode;
use crate::config::parameters::{Value, Values};
use crate::config::parse::cursor::Cursor;
use crate::error::ConfigError;

/// Reads the text of a URI after `postgres://`. An empty user, password, host list or database counts as absent. In the query, an empty
/// value counts as a value.
pub(super) fn read(mut string: Cursor<'_>, values: &mut Values) -> Result<(), ConfigError> {
    user_info(&mut string, values)?;
    hosts(&mut string, values)?;
    if string.eat("/") {
        let database = string.until(&['?']);
        if !database.is_empty() {
            values.set("dbname", database.decode_trimmed()?)?;
        }
    }
    if string.eat("?") {
        query(string, values)?;
    }
    Ok(())
}

fn user_info(string: &mut Cursor<'_>, values: &mut Values) -> Result<(), ConfigError> {
    let mut ahead = *string;
    let mut piece = ahead.until(&['@', '/']);
    if !ahead.eat("@") {
        return Ok(());
    }
    *string = ahead;
    let user = piece.until(&[':']);
    if !user.is_empty() {
        values.set("user", user.decode_trimmed()?)?;
    }
    piece.eat(":");
    if !piece.is_empty() {
        values.set("password", piece.decode_trimmed()?)?;
    }
    Ok(())
}

/// Joins all hosts to one list and all ports to a second list, with commas. As in libpq the lists are split later, so an encoded comma
/// (`%2C`) also separates hosts.
fn hosts(string: &mut Cursor<'_>, values: &mut Values) -> Result<(), ConfigError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    loop {
        let host = if string.eat("[") {
            let address = string.until(&[']']);
            if address.is_empty() {
                return Err(address.fault("an IPv6 address is expected between brackets"));
            }
            if !string.eat("]") {
                return Err(string.fault("the bracket of an IPv6 address is not closed"));
            }
            if !string.is_empty() && !string.rest.starts_with([':', '/', '?', ',']) {
                return Err(string.fault("a port, a path or a comma is expected after an IPv6 address"));
            }
            address
        } else {
            string.until(&[':', '/', '?', ','])
        };
        hosts.push(host);
        let port = if string.eat(":") { string.until(&['/', '?', ',']) } else { string.take(0) };
        ports.push(port);
        if !string.eat(",") {
            break;
        }
    }
    for (name, pieces) in [("host", hosts), ("port", ports)] {
        if pieces.len() > 1 || pieces.iter().any(|piece| !piece.is_empty()) {
            values.set(name, list(&pieces)?)?;
        }
    }
    Ok(())
}

/// Decodes the pieces and joins them with commas. Spaces are permitted only before the first piece and after the last piece.
fn list(pieces: &[Cursor<'_>]) -> Result<Value, ConfigError> {
    let mut list = Value::default();
    for (at, piece) in pieces.iter().enumerate() {
        let (first, last) = (at == 0, at + 1 == pieces.len());
        let piece = if first { piece.trim_start() } else { *piece };
        let piece = if last { piece.trim_end() } else { piece };
        if !first {
            list.push(b',');
        }
        list.extend_from_slice(&piece.decode()?);
    }
    Ok(list)
}

fn query(mut string: Cursor<'_>, values: &mut Values) -> Result<(), ConfigError> {
    while !string.is_empty() {
        let mut value = string.until(&['&']);
        string.eat("&");
        let name = value.until(&['=']);
        if !value.eat("=") {
            return Err(name.fault("a parameter has no \"=\""));
        }
        let (name, value) = (name.decode_trimmed()?, value.decode_trimmed()?);
        match str::from_utf8(&name).unwrap_or_default() {
            // JDBC writes `ssl=true` for `sslmode=require`, and libpq accepts this in URIs.
            "ssl" if value.as_slice() == b"true" => {
                values.set("sslmode", Zeroizing::new(SslMode::Require.as_str().into()))?;
            }
            name => values.set(name, value)?,
        }
    }
    Ok(())
}
