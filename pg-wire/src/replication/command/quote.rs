//! Quoting of names and strings in commands.

use core::fmt;

/// A name in double quotes. A double quote inside the name is doubled, as in SQL.
///
/// In a list of publications, the server reads a doubled quote as one quote inside the name. In all other places, the server reports a
/// syntax error for a double quote inside a name.
pub(super) struct Identifier<'a>(pub(super) &'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(f, self.0, '"')
    }
}

/// A string in single quotes. A single quote inside the string is doubled. A backslash is not an escape character in
/// replication commands.
pub(super) struct Literal<'a>(pub(super) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(f, self.0, '\'')
    }
}

/// A name whose parts are separated by points, such as `my.setting`. Each part is quoted.
pub(super) struct QualifiedName<'a>(pub(super) &'a str);

impl fmt::Display for QualifiedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.split('.').enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "." }, Identifier(part))?;
        }
        Ok(())
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    fmt::Write::write_char(f, quote)?;
    for (at, part) in text.split(quote).enumerate() {
        if at > 0 {
            write!(f, "{quote}{quote}")?;
        }
        f.write_str(part)?;
    }
    fmt::Write::write_char(f, quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(Identifier("a").to_string(), r#""a""#);
        assert_eq!(Identifier(r#"a"b"""#).to_string(), r#""a""b""""""#);
        assert_eq!(Identifier("").to_string(), r#""""#);
        assert_eq!(Literal(r#"it's "x"\"#).to_string(), r#"'it''s "x"\'"#);
        assert_eq!(QualifiedName(r#"a.b"c"#).to_string(), r#""a"."b""c""#);
    }
}
