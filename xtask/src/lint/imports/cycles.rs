//! Rule: the files of a crate do not import each other in a cycle.

use std::collections::{BTreeMap, VecDeque};

use crate::lint::finding::Finding;
use crate::lint::imports::Imports;

/// Finds the sets of files that import each other. Reports one of the shortest cycles of each set.
pub(in crate::lint) fn check(imports: &Imports) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reported: Vec<&str> = Vec::new();
    for file in imports.keys() {
        if reported.contains(&file.as_str()) {
            continue;
        }
        let Some(cycle) = shortest_cycle(imports, file) else { continue };
        reported.extend(&cycle);
        // A file may be part of several cycles. The other cycles are reported in a later run, after this cycle is removed.
        let line = |from: &str, to: &str| {
            imports.get(from).and_then(|to_lines| to_lines.get(to)).copied().unwrap_or(1)
        };
        let next = cycle.iter().copied().cycle().skip(1);
        let steps: Vec<String> = cycle
            .iter()
            .zip(next)
            .map(|(from, to)| format!("{from}:{} imports {to}", line(from, to)))
            .collect();
        let first = cycle.get(1).copied().unwrap_or(file);
        findings.push(Finding::new(
            file,
            line(file, first),
            format!("import cycle: {}", steps.join(", ")),
            "reverse one of the imports, or move the items that both files use into a third file",
        ));
    }
    findings
}

/// The files of a shortest cycle through `start`; the first file is `start`.
fn shortest_cycle<'a>(imports: &'a Imports, start: &'a str) -> Option<Vec<&'a str>> {
    let mut reached_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for target in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if target == start {
                let mut cycle = vec![file];
                while let Some(before) = cycle.last().and_then(|last| reached_from.get(last)) {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !reached_from.contains_key(target.as_str()) {
                reached_from.insert(target, file);
                queue.push_back(target);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::lint::imports::imports;
    use crate::lint::imports::tests::sources;

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c;");

    #[test]
    fn one_way_imports_pass() {
        let files = [
            ROOT,
            ("a.rs", "use crate::b::B; use crate::c::C;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c.rs", "pub struct C;"),
        ];
        assert_eq!(check(&imports(&sources(&files)).expect("a crate").0), []);
    }

    #[test]
    fn a_cycle_fails_with_each_of_its_steps() {
        let files = [
            ROOT,
            ("a.rs", "\nuse crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B(crate::c::C);"),
            ("c.rs", "\n\nuse crate::a::A; pub struct C;"),
        ];
        let findings = check(&imports(&sources(&files)).expect("a crate").0);
        let [finding] = &findings[..] else { panic!("one finding: {findings:?}") };
        assert_eq!((finding.file.as_str(), finding.line), ("x/src/a.rs", 2));
        assert_eq!(
            finding.wrong,
            "import cycle: x/src/a.rs:2 imports x/src/b.rs, x/src/b.rs:1 imports x/src/c.rs, x/src/c.rs:3 imports x/src/a.rs"
        );
    }

    #[test]
    fn a_module_and_its_submodule_can_be_a_cycle() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b;\nuse b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ];
        assert_eq!(check(&imports(&sources(&files)).expect("a crate").0).len(), 1);
    }
}
