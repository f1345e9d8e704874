//! Rule: each message has golden bytes, the expected encoding of an example. A test encodes the example, decodes the bytes, and compares.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprLit, Item, Lit, Local, Pat};

use crate::lint::finding::Finding;
use crate::lint::messages::declared::{Declared, Role, Shape};
use crate::lint::messages::table::Table;
use crate::lint::source::{Source, attributes, is_test};

/// Reports each message that has no golden bytes in the tests of the message's file. For a message that is an enum, reports each variant
/// without golden bytes.
pub(super) fn check(all: &[Declared], tables: &[Table], sources: &[&Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let mut goldens = Goldens::default();
        for item in source.code.items.iter().filter(|item| is_test(attributes(item))) {
            if let Item::Mod(_) = item {
                goldens.visit_item(item);
            }
        }
        for declared in all.iter().filter(|declared| declared.is_message() && declared.file == source.path) {
            for function in functions(declared, tables) {
                let has = |variant: Option<&str>| {
                    goldens.found.iter().any(|golden| {
                        golden.function == function
                            && golden.message == declared.name
                            && variant.is_none_or(|variant| golden.variant.as_deref() == Some(variant))
                    })
                };
                let mut report = |line, name: &str| {
                    let remedy = format!(
                        "add a test to this file: `{function}({name} …, b\"the bytes\", \"the line of the trace\")`, with the bytes as a literal"
                    );
                    let wrong = format!("{name} has no golden bytes");
                    findings.push(Finding::new(&declared.file, line, wrong, remedy));
                };
                match &declared.shape {
                    Shape::Kinds(kinds) => {
                        for (variant, _) in kinds {
                            let name = variant.ident.to_string();
                            if !has(Some(&name)) {
                                report(
                                    variant.ident.span().start().line,
                                    &format!("{}::{name}", declared.name),
                                );
                            }
                        }
                    }
                    _ if has(None) => {}
                    _ => report(declared.line, &declared.name),
                }
            }
        }
    }
    findings
}

/// The test functions that the tests of a message must call: one function for each direction in which the message is sent.
fn functions(declared: &Declared, tables: &[Table]) -> Vec<&'static str> {
    let is_sent = |direction: &str| {
        let Role::Message(code) = &declared.role else { return direction == "frontend" };
        let rows = tables.iter().filter(|table| table.direction == direction).flat_map(|table| &table.rows);
        let mut own = rows.filter(|row| row.code == *code);
        // Several messages can share a code, such as PasswordMessage and SASLResponse, but the table has a row for only one of these
        // messages. For the other messages, the direction is the name of the folder that contains their file.
        own.any(|row| row.message == declared.name || declared.file.contains(&format!("/{direction}/")))
    };
    let directions = [("backend", "golden"), ("frontend", "golden_frontend")];
    directions.into_iter().filter(|(direction, _)| is_sent(direction)).map(|(_, function)| function).collect()
}

/// One call of the test function `golden` or `golden_frontend`, whose expected bytes are a literal.
#[derive(Debug)]
struct Golden {
    function: String,
    message: String,
    variant: Option<String>,
}

#[derive(Default)]
struct Goldens {
    found: Vec<Golden>,
    /// The variables that `let` binds to messages: a map from the variable's name to the path of the message's type.
    variables: BTreeMap<String, Vec<String>>,
}

/// The path in an expression for a message: `Name { … }`, `Name::Variant` or `Name::Variant(…)`.
fn value_path(value: &Expr) -> Option<Vec<String>> {
    let path = match value {
        Expr::Struct(value) => &value.path,
        Expr::Path(value) => &value.path,
        Expr::Call(call) => return value_path(&call.func),
        _ => return None,
    };
    Some(path.segments.iter().map(|segment| segment.ident.to_string()).collect())
}

impl<'ast> Visit<'ast> for Goldens {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.variables.clear();
        visit::visit_item_fn(self, function);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let (Pat::Ident(name), Some(init)) = (&local.pat, &local.init)
            && let Some(path) = value_path(&init.expr)
        {
            self.variables.insert(name.ident.to_string(), path);
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        visit::visit_expr_call(self, call);
        let Some([function]) = value_path(&call.func)
            .as_deref()
            .map(<[String]>::to_vec)
            .and_then(|path| <[String; 1]>::try_from(path).ok())
        else {
            return;
        };
        let mut arguments = call.args.iter();
        let (Some(value), Some(Expr::Lit(ExprLit { lit: Lit::ByteStr(_), .. }))) =
            (arguments.next(), arguments.next())
        else {
            return;
        };
        let Some(path) = value_path(value) else { return };
        let path = match path.as_slice() {
            [name] => self.variables.get(name).cloned().unwrap_or(path),
            _ => path,
        };
        if let Some(message) = path.first() {
            self.found.push(Golden { function, message: message.clone(), variant: path.get(1).cloned() });
        }
    }
}
