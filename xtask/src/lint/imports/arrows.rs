//! Formats the imports of a crate as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::lint::imports::Imports;

/// Formats the imports of the crate in the folder `root`, such as `pg-wire/src`: first the imports between folders, then the imports
/// between files.
pub(in crate::lint) fn arrows(root: &str, imports: &Imports) -> String {
    let short = |path: &str| {
        path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').trim_end_matches(".rs").to_owned()
    };
    let folder =
        |name: &str| name.split_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/"));
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (from, targets) in imports {
        let from = short(from);
        let own = files.entry(from.clone()).or_default();
        for target in targets.keys().map(|target| short(target)) {
            if folder(&from) != folder(&target) {
                folders.entry(folder(&from)).or_default().insert(folder(&target));
            }
            own.entry(folder(&target)).or_default().push(target);
        }
    }
    let mut text = format!("{root}\n\n");
    for (from, targets) in &folders {
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let _ = writeln!(text, "  {from:<14} → {}", targets.join(", "));
    }
    for (from, targets) in &files {
        if targets.is_empty() {
            let _ = writeln!(text, "\n  {from}");
            continue;
        }
        let _ = writeln!(text, "\n  {from} →");
        for (folder, targets) in targets {
            let names: Vec<&str> =
                targets.iter().filter_map(|target| target.strip_prefix(&folder[..])).collect();
            let _ = writeln!(text, "    {}", format!("{folder} {}", names.join(", ")).trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::arrows;
    use crate::lint::imports::imports;
    use crate::lint::imports::tests::sources;

    #[test]
    fn folders_come_first_and_files_are_grouped_by_folder() {
        let files = sources(&[
            ("lib.rs", "mod a; mod top;"),
            ("a/mod.rs", "mod b; mod c; pub struct A;"),
            ("a/b.rs", "use super::c::C; pub struct B;"),
            ("a/c.rs", "pub struct C;"),
            ("top.rs", "use crate::a::A; use crate::a::b::B; use crate::a::c::C;"),
        ]);
        let text = arrows("x/src", &imports(&files).expect("a crate").0);
        let expected = "x/src\n\n  top            → a/\n\n  a/b →\n    a/ c\n\n  a/c\n\n  a/mod\n\n  lib\n\n  top →\n    a/ b, c, mod\n";
        assert_eq!(text, expected);
    }
}
