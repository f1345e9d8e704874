//! Finds SQL that a transaction pooler must reject, because the SQL changes the state of a session.

use crate::settings::Settings;

/// SQL that is sent to the server instead of a rejected query. Its syntax error makes an open transaction fail. The client receives an
/// error with the reason for the rejection instead of the server's error.
pub(crate) const REJECTED: &str = "rejected by pg-pooler";

/// Returns the reason why the pooler rejects this SQL. Returns `None` if the pooler accepts the SQL.
///
/// Recognizes keywords only, and does not parse the grammar. Calls of functions such as `pg_advisory_lock` and `set_config`, which also
/// change the session, are not recognized.
pub(crate) fn rejection(sql: &[u8], settings: &Settings) -> Option<&'static str> {
    let mut lexer = Lexer { rest: sql };
    loop {
        let statement = Statement::read(&mut lexer);
        if let Some(reason) = statement.rejection(settings) {
            return Some(reason);
        }
        if lexer.rest.is_empty() {
            return None;
        }
    }
}

/// The first words of a statement, and flags for clauses that may occur anywhere in the statement.
#[derive(Default)]
struct Statement<'a> {
    words: [&'a [u8]; 4],
    with_hold: bool,
    on_commit_drop: bool,
}

impl<'a> Statement<'a> {
    /// Reads the tokens of the next statement, and stores its first words and its flags.
    fn read(lexer: &mut Lexer<'a>) -> Self {
        let mut statement = Self::default();
        let (mut count, mut last) = (0, [&b""[..]; 2]);
        let mut is_plain = false;
        while let Some(token) = lexer.next() {
            let word = match token {
                Token::End => break,
                Token::Word(word) => word,
                Token::Other => b"",
            };
            if let Some(place) = statement.words.get_mut(count) {
                *place = word;
            }
            if count == 0 {
                is_plain =
                    [&b"SELECT"[..], b"INSERT", b"UPDATE", b"DELETE", b"BEGIN", b"END", b"COMMIT", b"COPY"]
                        .iter()
                        .any(|plain| is(word, plain));
            }
            count += 1;
            // Fast path: the rest of a statement such as SELECT or INSERT does not matter, and without a semicolon no other statement
            // follows.
            if is_plain && !lexer.rest.contains(&b';') {
                lexer.rest = b"";
                break;
            }
            statement.with_hold |= is(last[1], b"WITH") && is(word, b"HOLD");
            statement.on_commit_drop |= is(last[0], b"ON") && is(last[1], b"COMMIT") && is(word, b"DROP");
            last = [last[1], word];
        }
        statement
    }

    fn rejection(&self, settings: &Settings) -> Option<&'static str> {
        let [first, second, third, fourth] = self.words;
        let is_temporary = |word| is(word, b"TEMP") || is(word, b"TEMPORARY");
        if is(first, b"LISTEN") {
            return Some("LISTEN needs a session of its own");
        }
        if is(first, b"LOAD") {
            return Some("LOAD would change the sessions of other clients");
        }
        if is(first, b"PREPARE") && !is(second, b"TRANSACTION") {
            return Some("PREPARE needs a session of its own: use the extended query protocol");
        }
        if is(first, b"DECLARE") && self.with_hold {
            return Some("a cursor WITH HOLD needs a session of its own");
        }
        let is_qualified = is(second, b"LOCAL") || is(second, b"GLOBAL");
        if is(first, b"CREATE")
            && is_temporary(if is_qualified { third } else { second })
            && !self.on_commit_drop
        {
            return Some("a temporary table needs a session of its own: use ON COMMIT DROP");
        }
        if !is(first, b"SET")
            || [&b"LOCAL"[..], b"TRANSACTION", b"CONSTRAINTS"].iter().any(|word| is(second, word))
        {
            return None;
        }
        let (name, next) = if is(second, b"SESSION") { (third, fourth) } else { (second, third) };
        let name = match () {
            () if is(name, b"TIME") && is(next, b"ZONE") => &b"TimeZone"[..],
            () if is(name, b"NAMES") => b"client_encoding",
            () => name,
        };
        let is_restored = settings.iter().any(|(known, _)| is(name, known.as_bytes()));
        (!is_restored)
            .then_some("SET of this parameter would change the sessions of other clients: use SET LOCAL")
    }
}

fn is(word: &[u8], expected: &[u8]) -> bool {
    word.eq_ignore_ascii_case(expected)
}

enum Token<'a> {
    /// A keyword or name without quotes.
    Word(&'a [u8]),
    /// The end of a statement.
    End,
    /// A string, a quoted name or a symbol.
    Other,
}

/// Splits SQL into tokens. Skips comments.
struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (&first, after) = self.rest.split_first()?;
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
            match first {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.rest = after,
                b'-' if after.first() == Some(&b'-') => {
                    self.skip(self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len()));
                }
                b'/' if after.first() == Some(&b'*') => self.skip_comment(),
                b';' => {
                    self.rest = after;
                    return Some(Token::End);
                }
                b'\'' | b'"' => {
                    self.skip_quoted(first, false);
                    return Some(Token::Other);
                }
                b'$' => {
                    self.skip_dollar_quoted();
                    return Some(Token::Other);
                }
                _ if is_word(&first) => {
                    let is_in_word = |byte: &u8| is_word(byte) || *byte == b'$';
                    let end = self.rest.iter().position(|byte| !is_in_word(byte)).unwrap_or(self.rest.len());
                    let word = self.skip(end);
                    if self.rest.first() == Some(&b'\'') && is(word, b"E") {
                        self.skip_quoted(b'\'', true);
                        return Some(Token::Other);
                    }
                    return Some(Token::Word(word));
                }
                _ => {
                    self.rest = after;
                    return Some(Token::Other);
                }
            }
        }
    }
}

impl<'a> Lexer<'a> {
    fn skip(&mut self, count: usize) -> &'a [u8] {
        let (skipped, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, b""));
        self.rest = rest;
        skipped
    }

    /// Skips a string or a quoted name. A doubled quote, which stands for a quote, is read as the end of one string and the start of the
    /// next.
    fn skip_quoted(&mut self, quote: u8, backslashes: bool) {
        self.skip(1);
        while let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            if byte == b'\\' && backslashes {
                self.skip(1);
            } else if byte == quote {
                return;
            }
        }
    }

    /// Skips a dollar-quoted string, or a single dollar sign.
    fn skip_dollar_quoted(&mut self) {
        let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        let length = self.rest.iter().skip(1).position(|byte| !is_tag(byte)).unwrap_or(0) + 2;
        let tag = self.rest.get(..length).filter(|tag| tag.ends_with(b"$"));
        // A dollar sign with a digit (`$1`) is a parameter, not the start of a string.
        let Some(tag) = tag.filter(|tag| !tag.get(1).is_some_and(u8::is_ascii_digit)) else {
            self.skip(1);
            return;
        };
        self.skip(length);
        let end = self.rest.windows(length).position(|window| window == tag);
        let end = end.map_or(self.rest.len(), |at| at + length);
        self.skip(end);
    }

    /// Skips a comment, which may contain nested comments.
    fn skip_comment(&mut self) {
        let mut depth = 0u32;
        while !self.rest.is_empty() {
            if self.rest.starts_with(b"/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with(b"*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rejection;
    use crate::settings::Settings;

    fn is_rejected(sql: &str) -> bool {
        let settings = Settings::from_iter([("TimeZone", "UTC"), ("client_encoding", "UTF8")]);
        rejection(sql.as_bytes(), &settings).is_some()
    }

    #[test]
    fn statements_that_need_a_session_are_rejected() {
        for sql in [
            "LISTEN news",
            "  -- a comment\n listen news;",
            "/* a /* nested */ comment */ LISTEN news",
            "select 1; listen news",
            "select ';'; listen news",
            "select E'\\''; listen news",
            "select $$;$$, $tag$ $$ ; $tag$, $1; listen news",
            "load 'auto_explain'",
            "prepare s as select 1",
            "begin; declare c cursor with hold for select 1",
            "create temp table t (n int)",
            "CREATE LOCAL TEMPORARY TABLE t (n int) ON COMMIT DELETE ROWS",
            "set work_mem = '1MB'",
            "SET SESSION work_mem = '1MB'",
            "set role postgres",
            "set session authorization postgres",
            "set session characteristics as transaction read only",
        ] {
            assert!(is_rejected(sql), "{sql}");
        }
    }

    #[test]
    fn statements_that_end_with_the_transaction_or_are_restored_are_accepted() {
        for sql in [
            "",
            ";",
            "select 'listen news; listen news'",
            "select \"a;\"\"listen\" from t -- ; listen news",
            "select $$ ; listen news $$; select 1",
            "select 1 /* ; listen news */",
            "notify news, 'listen; listen'",
            "prepare transaction 'x'",
            "begin; declare c cursor for select 1; fetch c; commit",
            "create temp table t (n int) on commit drop",
            "create table temp (n int)",
            "set local work_mem = '1MB'",
            "set transaction isolation level serializable",
            "set constraints all deferred",
            "set timezone to 'UTC'",
            "set session time zone 'UTC'",
            "SET TIME ZONE LOCAL",
            "set names 'latin1'",
            "select 1; set CLIENT_ENCODING = 'latin1'",
            "select 'unterminated",
            "select $x$ unterminated",
            "/* unterminated",
        ] {
            assert!(!is_rejected(sql), "{sql}");
        }
    }
}
