//! Rule: the code of an adapter contains no names of messages, SQLSTATEs or authentication methods. An adapter is the crate for one async
//! runtime. Code with such names belongs in `pg-wire` or `pg-auth`, which all adapters share.

use anyhow::Result;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, Lit};

use crate::lint::finding::Finding;
use crate::lint::imports::{Foreign, imports};
use crate::lint::source::{Source, attributes, is_test};

const REMEDY: &str = "move this code into pg-auth, or into pg-wire if it is only about messages; an adapter only transports bytes";

/// Items of `pg-wire` and `pg-auth` that an adapter may re-export but must not use. Each entry is the path of an item, and the kind of the
/// item. An entry also forbids the items inside the item: `pg_auth::scram` forbids `pg_auth::scram::Verifier`.
const BELOW: [(&str, &str); 12] = [
    ("pg_wire::backend", "a message"),
    ("pg_wire::frontend", "a message"),
    ("pg_wire::MessageCode", "a message"),
    ("pg_wire::SqlState", "an SQLSTATE"),
    ("pg_auth::AuthenticationMode", "an authentication method"),
    ("pg_auth::config::AuthenticationMode", "an authentication method"),
    ("pg_auth::config::AuthMethod", "an authentication method"),
    ("pg_auth::cleartext", "an authentication method"),
    ("pg_auth::gss", "an authentication method"),
    ("pg_auth::md5", "an authentication method"),
    ("pg_auth::oauth", "an authentication method"),
    ("pg_auth::scram", "an authentication method"),
];

/// Names of authentication methods, as written in connection strings and in SASL.
const METHODS: [&str; 8] =
    ["gss", "md5", "oauth", "oauthbearer", "scram-sha-256", "scram-sha-256-plus", "sspi", "kerberos"];

/// Reports each forbidden name in the code of an adapter, outside its tests. `messages` are the names of all messages.
pub(super) fn check(sources: &[Source], messages: &[String]) -> Result<Vec<Finding>> {
    let (_, foreign) = imports(sources)?;
    let mut findings: Vec<Finding> = foreign.iter().filter_map(check_name).collect();
    for source in sources {
        let mut literals = Literals::default();
        literals.visit_file(&source.code);
        findings.extend(literals.found.iter().filter_map(|(line, text)| {
            let kind = kind_of_literal(text, messages)?;
            Some(Finding::new(&source.path, *line, format!("an adapter names {kind}: \"{text}\""), REMEDY))
        }));
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn check_name(name: &Foreign) -> Option<Finding> {
    let path = name.path.join("::");
    let is_below =
        |below: &str| path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let (_, kind) = BELOW.iter().find(|(below, _)| is_below(below))?;
    Some(Finding::new(&name.file, name.line, format!("an adapter names {kind}: {path}"), REMEDY))
}

/// Returns the kind of the forbidden name in a string literal of an adapter: an SQLSTATE, an authentication method or a message. Returns
/// `None` if the literal is allowed.
fn kind_of_literal(text: &str, messages: &[String]) -> Option<&'static str> {
    let is_code = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    if text.len() == 5 && text.bytes().all(is_code) && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Some("an SQLSTATE");
    }
    if METHODS.contains(&text.to_ascii_lowercase().as_str()) {
        return Some("an authentication method");
    }
    // In a string, only a message name of several words is forbidden: a name of one word, such as Query, may also be an English word.
    let words = |name: &str| name.bytes().filter(u8::is_ascii_uppercase).count();
    let is_message = |word: &str| words(word) > 1 && messages.iter().any(|message| message == word);
    text.split(|character: char| !character.is_alphanumeric()).any(is_message).then_some("a message")
}

/// The string literals of a file, each with its line number. Literals in tests and in attributes are left out.
#[derive(Default)]
struct Literals {
    found: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(item) if is_test(&item.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item_use(&mut self, _: &'ast ItemUse) {}

    fn visit_lit(&mut self, literal: &'ast Lit) {
        let text = match literal {
            Lit::Str(text) => text.value(),
            Lit::ByteStr(bytes) => String::from_utf8_lossy(&bytes.value()).into_owned(),
            _ => return,
        };
        self.found.push((literal.span().start().line, text));
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.scan(called.tokens.clone());
    }
}

impl Literals {
    fn scan(&mut self, tokens: proc_macro2::TokenStream) {
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Group(group) => self.scan(group.stream()),
                proc_macro2::TokenTree::Literal(literal) => self.visit_lit(&Lit::new(literal)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::lint::source::Source;

    fn findings(text: &str) -> Vec<(usize, String)> {
        let sources = [Source::parse("x/src/lib.rs", text).expect("valid")];
        let messages = ["ReadyForQuery".to_owned(), "Query".to_owned()];
        let found = check(&sources, &messages).expect("a crate");
        found.into_iter().map(|finding| (finding.line, finding.wrong)).collect()
    }

    #[test]
    fn re_exports_allowed_types_and_tests_pass() {
        let found = findings(
            "//! Sends a ReadyForQuery.\n\
             pub use pg_wire::{SqlState, backend, frontend};\n\
             pub use pg_auth::AuthenticationMode;\n\
             use pg_auth::tls::TlsConnect;\n\
             fn f() -> String { format!(\"cannot read the key of query {}\", \"HTTPS\") }\n\
             #[cfg(test)] mod tests { use pg_wire::backend::DataRow; const CODE: &str = \"28P01\"; }\n",
        );
        assert_eq!(found, []);
    }

    #[test]
    fn the_name_of_a_message_fails_by_every_path_and_in_a_string() {
        let found = findings(
            "use pg_wire::{backend, frontend::Query};\nfn f() {}\nfn g(_: backend::DataRow) {}\nfn h() { eprintln!(\"no ReadyForQuery\"); }\n",
        );
        let names = ["pg_wire::frontend::Query", "pg_wire::backend::DataRow"];
        assert!(found.contains(&(1, format!("an adapter names a message: {}", names[0]))), "{found:?}");
        assert!(found.contains(&(3, format!("an adapter names a message: {}", names[1]))), "{found:?}");
        assert!(found.contains(&(4, "an adapter names a message: \"no ReadyForQuery\"".into())), "{found:?}");
    }

    #[test]
    fn an_sqlstate_fails_as_a_type_and_as_a_literal() {
        let found = findings(
            "pub use pg_wire::SqlState;\nfn f() -> SqlState { SqlState::X }\nconst CODE: &[u8] = b\"28P01\";\n",
        );
        let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 2, 3], "{found:?}");
        assert_eq!(found[2].1, "an adapter names an SQLSTATE: \"28P01\"");
    }

    #[test]
    fn the_name_of_an_authentication_method_fails() {
        let found = findings("use pg_auth::scram::Verifier;\nconst METHOD: &str = \"SCRAM-SHA-256\";\n");
        assert_eq!(
            found,
            [
                (1, "an adapter names an authentication method: pg_auth::scram::Verifier".into()),
                (2, "an adapter names an authentication method: \"SCRAM-SHA-256\"".into())
            ]
        );
    }
}
