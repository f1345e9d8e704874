//! Finds the imports between the files of a crate, for the rule that imports have no cycles.

mod arrows;
mod cycles;
mod paths;
mod tree;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::lint::source::Source;
use paths::{Named, Paths};
use tree::{Place, Tree};

pub(super) use arrows::arrows;
pub(super) use cycles::check;

/// The imports of a crate. For each file, a map from each imported file to the number of the line with its first import.
///
/// File A imports file B if A's code outside tests has the name of an item that B declares: in a `use`, in a path, or in the body of a
/// macro that A calls. A re-export is followed to the file that declares the item. A `pub use` by itself is not an import.
pub(super) type Imports = BTreeMap<String, BTreeMap<String, usize>>;

/// A use of an item of another crate, outside tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) file: String,
    pub(super) line: usize,
    /// The full path of the item: for `x::f()` after `use other::x;`, this is `other::x::f`.
    pub(super) path: Vec<String>,
}

/// Returns the imports between the files of a crate, and the uses of other crates' items. A `pub use` is neither an import nor a use.
pub(super) fn imports(sources: &[Source]) -> Result<(Imports, Vec<Foreign>)> {
    let tree = Tree::new(sources)?;
    let paths: Vec<Paths> = sources.iter().map(|source| Paths::of(&source.code)).collect();
    let bodies =
        |name: &str| paths.iter().find_map(|paths| paths.macros.get(name)).map_or(&[][..], Vec::as_slice);
    let mut imports = Imports::new();
    let mut foreign = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let file = &sources[module.file].path;
        let own = imports.entry(file.clone()).or_default();
        let mut add = |place: Place, line: usize| match place {
            Place::Item(target) if tree.modules[target].file != module.file => {
                let target = &sources[tree.modules[target].file].path;
                let first = own.entry(target.clone()).or_insert(line);
                *first = line.min(*first);
            }
            Place::Outside(path) => foreign.push(Foreign { file: file.clone(), line, path }),
            Place::Item(_) | Place::Module(_) => {}
        };
        for import in module.uses.iter().filter(|import| !import.is_export) {
            add(tree.resolve(index, &import.path), import.line);
        }
        // `paths` has one list for each file, but a file may have several modules. Each module takes only the paths that are written in
        // this module.
        let is_here = |named: &&Named| named.within == module.within;
        for named in paths[module.file].named.iter().filter(is_here) {
            add(tree.resolve(index, &named.path), named.line);
        }
        for call in paths[module.file].calls.iter().filter(is_here) {
            let Some(name) = call.path.last() else { continue };
            bodies(name).iter().for_each(|path| add(tree.resolve(0, path), call.line));
        }
    }
    Ok((imports, foreign))
}

#[cfg(test)]
mod tests {
    use super::{Imports, imports};
    use crate::lint::source::Source;

    /// Parses the files of a test crate in the folder `x/src/`.
    pub(super) fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files
            .iter()
            .map(|(path, text)| Source::parse(&format!("x/src/{path}"), text).expect("valid Rust"))
            .collect()
    }

    /// Writes each import as a line such as `a.rs:1 b.rs`: line 1 of `a.rs` imports `b.rs`.
    fn lines(imports: &Imports) -> Vec<String> {
        let name = |path: &str| path.strip_prefix("x/src/").expect("of the crate").to_owned();
        let arrows = imports.iter().flat_map(|(from, to)| to.iter().map(move |(to, line)| (from, to, line)));
        arrows.map(|(from, to, line)| format!("{}:{line} {}", name(from), name(to))).collect()
    }

    /// The imports of a test crate, formatted by `lines`.
    fn of(files: &[(&str, &str)]) -> Vec<String> {
        lines(&imports(&sources(files)).expect("a crate").0)
    }

    #[test]
    fn a_use_and_a_path_are_imports() {
        let root = ("lib.rs", "mod a; mod b; mod c;");
        let a = ("a.rs", "use crate::b::{self, B as Other, b};\nfn f() -> crate::c::C { b::g() }");
        assert_eq!(
            of(&[root, a, ("b.rs", "pub struct B;"), ("c.rs", "pub struct C;")]),
            ["a.rs:1 b.rs", "a.rs:2 c.rs"]
        );
    }

    #[test]
    fn a_re_export_is_followed_to_the_file_that_declares_the_item() {
        let root = ("lib.rs", "pub use face::B; mod a; mod face;");
        let face = ("face/mod.rs", "mod b; mod c; pub use b::B; pub(crate) use c::*;");
        let a = ("a.rs", "use crate::B;\nuse crate::face::C;");
        let found = of(&[root, a, face, ("face/b.rs", "pub struct B;"), ("face/c.rs", "pub struct C;")]);
        assert_eq!(found, ["a.rs:1 face/b.rs", "a.rs:2 face/c.rs"]);
    }

    #[test]
    fn a_re_export_that_the_file_itself_uses_is_an_import() {
        let files = [("lib.rs", "mod b;\npub use b::B;\nfn f(_: B) {}"), ("b.rs", "pub struct B;")];
        assert_eq!(of(&files), ["lib.rs:3 b.rs"]);
    }

    #[test]
    fn of_two_modules_with_one_name_the_module_in_a_file_is_imported() {
        let placeholder = "#[cfg(not(feature = \"x\"))] mod b { pub fn f() {} }";
        let file = "#[cfg(feature = \"x\")] mod b;";
        for [first, second] in [[placeholder, file], [file, placeholder]] {
            let a = format!("{first}\n{second}\npub struct A; fn g() {{ b::f() }}");
            let files =
                [("lib.rs", "mod a;"), ("a/mod.rs", &a), ("a/b.rs", "use crate::a::A;\npub fn f() {}")];
            assert_eq!(of(&files), ["a/b.rs:1 a/mod.rs", "a/mod.rs:3 a/b.rs"]);
        }
    }

    #[test]
    fn parents_siblings_and_glob_imports_are_followed() {
        let root = ("lib.rs", "mod a;");
        let a = ("a/mod.rs", "mod b; mod c; pub struct A;");
        let b = ("a/b.rs", "use super::c::C;\nfn f() -> super::A { A }");
        let c = ("a/c.rs", "use super::*;\nstruct C(A);");
        assert_eq!(of(&[root, a, b, c]), ["a/b.rs:1 a/c.rs", "a/b.rs:2 a/mod.rs", "a/c.rs:2 a/mod.rs"]);
    }

    #[test]
    fn a_path_in_the_body_of_a_macro_is_an_import_of_the_file_that_calls_the_macro() {
        let root = ("lib.rs", "#[macro_use] mod m; mod a; mod b;");
        let m = (
            "m.rs",
            "macro_rules! make { ($name:ident) => { fn $name() -> $crate::b::B { $crate::b::B } }; }\npub(crate) use make;",
        );
        let a = ("a.rs", "use crate::m::make;\n\nmake! { f }");
        assert_eq!(of(&[root, m, a, ("b.rs", "pub struct B;")]), ["a.rs:3 b.rs", "a.rs:1 m.rs"]);
    }

    #[test]
    fn the_tokens_of_a_macro_call_are_searched_for_paths() {
        let root = ("lib.rs", "mod a; mod b;");
        let a = ("a.rs", "fn f() {\n    assert_eq!(1, crate::b::ONE, \"{}\", [crate::b::B]);\n}");
        assert_eq!(of(&[root, a, ("b.rs", "pub struct B;")]), ["a.rs:2 b.rs"]);
    }

    #[test]
    fn tests_comments_and_visibilities_are_no_imports() {
        let root = ("lib.rs", "mod a; mod b;");
        let a = (
            "a.rs",
            "//! See [`crate::b::B`].\n/// [`B`](crate::b::B)\npub(in crate::b) fn f() {}\n#[cfg(test)] mod tests { use crate::b::B; }\n#[cfg(test)] mod more;",
        );
        assert_eq!(of(&[root, a, ("b.rs", "pub struct B;"), ("a/more.rs", "use crate::b::B;")]), [""; 0]);
    }

    #[test]
    fn names_of_other_crates_are_reported_with_their_full_paths() {
        let root = ("lib.rs", "pub use wire::backend; mod a;");
        let a = ("a.rs", "use crate::backend::Row;\nuse wire::{self, other as x};\nfn f() { x::g(); }");
        let (_, foreign) = imports(&sources(&[root, a])).expect("a crate");
        let found: Vec<_> = foreign.iter().map(|name| (name.line, name.path.join("::"))).collect();
        let expected = [(1, "wire::backend::Row"), (2, "wire"), (2, "wire::other"), (3, "wire::other::g")];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }
}
