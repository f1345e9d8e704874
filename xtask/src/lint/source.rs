//! Reads and parses source files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Item, Meta, Token, punctuated::Punctuated};

/// A parsed Rust file.
pub(crate) struct Source {
    /// The path from the workspace's root.
    pub(super) path: String,
    pub(crate) text: String,
    pub(super) code: syn::File,
}

impl Source {
    /// Parses `text`, the content of the file `path`.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self> {
        let code = syn::parse_file(text).map_err(|error| at(path, error.span(), &error.to_string()))?;
        Ok(Self { path: path.to_owned(), text: text.to_owned(), code })
    }

    /// Number of lines of the file that are not part of an item under `#[cfg(test)]`.
    pub(super) fn lines_without_tests(&self) -> usize {
        let test_items = self.code.items.iter().filter(|item| is_test(attributes(item)));
        let test_lines: usize = test_items
            .map(|item| {
                let start = attributes(item).first().map_or(item.span(), Spanned::span).start().line;
                1 + item.span().end().line - start
            })
            .sum();
        self.text.lines().count() - test_lines
    }
}

/// Returns an error whose text begins with `path` and the line of `span`.
pub(super) fn at(path: &str, span: Span, message: &str) -> anyhow::Error {
    anyhow::anyhow!("{path}:{}: {message}", span.start().line)
}

/// Parses all Rust files in `folder` and its subfolders, sorted by path. `folder` is a path from `root`.
pub(crate) fn read_folder(root: &Path, folder: &str) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    collect(root, folder, &mut found)?;
    found.sort();
    found
        .iter()
        .map(|path| {
            let text = fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
            Source::parse(path, &text)
        })
        .collect()
}

fn collect(root: &Path, folder: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder)).with_context(|| folder.to_owned())? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{folder}/{}", name.to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether an item is compiled only for tests: it has `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    fn needs_test(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|parts| parts.iter().any(needs_test)),
            _ => false,
        }
    }
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        matches!(&attribute.meta, Meta::List(list) if list.parse_args::<Meta>().is_ok_and(|it| needs_test(&it)))
    })
}

/// The attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn lines_of_tests_are_not_counted() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n\n#[cfg(all(test, unix))]\nuse c::d;\nfn e() {}\n";
        let source = Source::parse("a.rs", text).expect("valid");
        assert_eq!(source.lines_without_tests(), 4);
        let source = Source::parse("a.rs", "#[cfg(any(test, feature = \"x\"))]\nmod f {}\n").expect("valid");
        assert_eq!(source.lines_without_tests(), 2, "the module is compiled without tests too");
    }

    #[test]
    fn a_syntax_error_is_reported_with_its_line() {
        let error = Source::parse("a.rs", "fn a() {}\nfn {}\n").err().expect("a function without a name");
        assert!(error.to_string().starts_with("a.rs:2: "), "{error}");
    }
}
