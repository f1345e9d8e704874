//! Finds the paths in the code of a file.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ImplItem, Item, ItemUse, Macro, Path, Visibility};

use crate::lint::source::{attributes, is_test};

/// One path in the code of a file. Paths in `use` are not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The names of the inline modules that contain the path.
    pub(super) within: Vec<String>,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// All paths in the code of a file. Paths in the file's tests are not included.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Paths of types, values and called functions.
    pub(super) named: Vec<Named>,
    /// Calls of macros. The last name of each path is the macro's name.
    pub(super) calls: Vec<Named>,
    /// The macros that the file declares, each with the paths in its body that begin with `$crate`. A file that calls the macro imports the
    /// items of these paths.
    pub(super) macros: BTreeMap<String, Vec<Vec<String>>>,
    within: Vec<String>,
}

impl Paths {
    pub(super) fn of(file: &syn::File) -> Self {
        let mut paths = Self::default();
        paths.visit_file(file);
        paths
    }

    fn push(&mut self, path: Vec<String>, line: usize) {
        self.named.push(Named { within: self.within.clone(), path, line });
    }

    /// Adds the paths among the tokens of a macro call. The syntax of the tokens is unknown, so any `a::b` counts as a path.
    fn scan(&mut self, tokens: TokenStream) {
        for path in token_paths(tokens) {
            let named = Named { within: self.within.clone(), path: path.segments, line: path.line };
            if path.is_macro {
                self.calls.push(named);
            } else if !path.from_dollar && is_worth_resolving(&named.path) {
                self.named.push(named);
            }
        }
    }
}

/// Whether a path may refer to an item. A single name in lower case is ignored: it is almost always a local variable.
fn is_worth_resolving(path: &[String]) -> bool {
    path.len() > 1 || path.first().is_some_and(|name| name.starts_with(char::is_uppercase))
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(module) if module.content.is_some() => {
                self.within.push(module.ident.to_string());
                visit::visit_item(self, item);
                self.within.pop();
            }
            Item::Macro(declared) if declared.mac.path.is_ident("macro_rules") => {
                let name = declared.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                let body = token_paths(declared.mac.tokens.clone());
                let imports = body.into_iter().filter(|path| path.from_dollar).map(|path| path.segments);
                self.macros.insert(name, imports.collect());
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, _: &'ast ItemUse) {}

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(function) = &*call.func
            && let Some(name) = function.path.get_ident()
        {
            self.push(vec![name.to_string()], name.span().start().line);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none()
            && is_worth_resolving(&names)
            && let Some(first) = path.segments.first()
        {
            self.push(names, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if let Some(last) = called.path.segments.last() {
            let (name, line) = (last.ident.to_string(), last.ident.span().start().line);
            self.calls.push(Named { within: self.within.clone(), path: vec![name], line });
        }
        visit::visit_macro(self, called);
        self.scan(called.tokens.clone());
    }
}

/// A path in a token stream.
struct TokenPath {
    segments: Vec<String>,
    line: usize,
    /// Whether the path begins with `$crate`.
    from_dollar: bool,
    /// Whether a `!` follows the path. If so, the path is the name of a called macro.
    is_macro: bool,
}

/// The paths, such as `a::b::c`, in a token stream, including the tokens inside brackets. Attributes are skipped.
fn token_paths(tokens: TokenStream) -> Vec<TokenPath> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.as_char() == wanted);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Group(group) => {
                let is_attribute = group.delimiter() == Delimiter::Bracket && at > 0 && is(at - 1, '#');
                if !is_attribute {
                    found.extend(token_paths(group.stream()));
                }
                at += 1;
            }
            TokenTree::Ident(first) => {
                let from_dollar = at > 0 && is(at - 1, '$');
                let (line, mut segments) = (first.span().start().line, vec![first.to_string()]);
                at += 1;
                while is(at, ':')
                    && is(at + 1, ':')
                    && let Some(TokenTree::Ident(next)) = tokens.get(at + 2)
                {
                    segments.push(next.to_string());
                    at += 3;
                }
                let from_dollar = from_dollar && segments[0] == "crate";
                let is_macro = is(at, '!') && !is(at + 1, '=');
                if is_macro {
                    segments.drain(..segments.len() - 1);
                }
                found.push(TokenPath { segments, line, from_dollar: from_dollar && !is_macro, is_macro });
            }
            _ => at += 1,
        }
    }
    found
}
