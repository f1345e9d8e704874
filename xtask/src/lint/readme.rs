//! Rule: each program in a README is a copy of a file that is compiled and run.

use crate::lint::finding::Finding;

/// The README of the project, and the README of each published package.
pub(super) const READMES: [&str; 6] = [
    "README.md",
    "pg-wire/README.md",
    "pg-wire/derive/README.md",
    "pg-auth/README.md",
    "pg-stream-tokio/README.md",
    "pg-stream-async-std/README.md",
];

/// Compares each Rust program in a README with the program's file, and reports the programs that differ. `path` is the path of the README,
/// and `readme` is the content. The comment above a program names the program's file. `read` returns the content of a file of the
/// workspace.
pub(super) fn check_programs(
    path: &str,
    readme: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = readme.lines().collect();
    for (number, _) in lines.iter().enumerate().filter(|(_, line)| **line == "```rust") {
        let above = number.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
        let Some(file) = above.strip_prefix("<!-- ").and_then(|file| file.strip_suffix(" -->")) else {
            let remedy = "write `<!-- examples/src/bin/NAME.rs -->` in the line above, with the path of the program's file";
            findings.push(Finding::new(path, number + 1, "a program without the name of its file", remedy));
            continue;
        };
        let Some(expected) = read(file).map(|source| shown(file, &source)) else {
            let wrong = format!("{file} does not exist");
            findings.push(Finding::new(
                path,
                number,
                wrong,
                "write the path of the file that the program is copied from",
            ));
            continue;
        };
        let code = lines.iter().skip(number + 1).take_while(|line| **line != "```");
        let mut code = code.copied().zip(number + 2..);
        let mut expected_lines = expected.lines();
        loop {
            let (given, expected) = (code.next(), expected_lines.next());
            if given.map(|(line, _)| line) == expected {
                if given.is_none() {
                    break;
                }
                continue;
            }
            let wrong = match (given, expected) {
                (None, Some(line)) => format!("the program ends before `{line}` of {file}"),
                (_, None) => format!("the program has lines after the end of {file}"),
                (Some(_), Some(line)) => format!("the program differs from {file}, which has `{line}` here"),
            };
            let line = given.map_or(number + 1, |(_, line)| line);
            findings.push(Finding::new(path, line, wrong, format!("copy {file} again")));
            break;
        }
    }
    findings
}

/// The programs of the README's table, each with the number of its line.
fn programs<'a>(lines: &[&'a str]) -> Vec<(&'a str, usize)> {
    let numbered = lines.iter().zip(1..).skip_while(|(line, _)| **line != "| program | shows |");
    let rows = numbered.skip(2).take_while(|(line, _)| line.starts_with('|'));
    let programs = rows.flat_map(|(row, number)| {
        let names = row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
        names.map(move |name| (name.split(' ').next().unwrap_or_default(), number))
    });
    programs.collect()
}

/// Reports each program in the table of the project's README that does not exist.
pub(super) fn check_table(readme: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let lines: Vec<&str> = readme.lines().collect();
    let exists = |name: &str| {
        let bin = "examples/src/bin";
        read(&format!("{bin}/{name}.rs")).is_some() || read(&format!("{bin}/{name}/main.rs")).is_some()
    };
    let programs = programs(&lines);
    if programs.is_empty() {
        let remedy = "keep a table with the heading `| program | shows |`, with each program in backquotes";
        return vec![Finding::new("README.md", 1, "no table of the example programs was found", remedy)];
    }
    programs
        .into_iter()
        .filter(|(name, _)| !exists(name))
        .map(|(name, line)| {
            let wrong = format!("the program `{name}` does not exist in examples/src/bin");
            Finding::new("README.md", line, wrong, "correct the name, or remove the row")
        })
        .collect()
}

/// Returns the part of a file that a README must show, without the hidden lines of an example. The part depends on the file:
///
/// - an example program: the whole file
/// - a `lib.rs`: the first example in the documentation of the crate
/// - another file of a library: the first example in the documentation of an item
fn shown(file: &str, source: &str) -> String {
    let comment = match file {
        program if program.starts_with("examples/") => return source.to_owned(),
        library if library.ends_with("lib.rs") => "//!",
        _ => "///",
    };
    let docs = source.lines().filter_map(|line| line.trim_start().strip_prefix(comment));
    let docs = docs.map(|line| line.strip_prefix(' ').unwrap_or(line));
    // The text after the opening fence of the current code block, such as `no_run`. `None` outside code blocks.
    let mut block = None;
    let mut example = String::new();
    for line in docs {
        match (line.strip_prefix("```"), block) {
            (Some(word), None) => block = Some(word),
            (Some(_), Some("" | "no_run")) => break,
            (Some(_), Some(_)) => block = None,
            (None, Some("" | "no_run")) if !line.starts_with("# ") => example.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    example
}

#[cfg(test)]
mod tests {
    use super::{READMES, check_programs, check_table, programs, shown};
    use crate::paths::root;
    use std::fs;

    const TABLE: &str = "| program | shows |\n| --- | --- |\n| `one`, `two --listen ADDR` | a program |\n";

    fn read(file: &str) -> Option<String> {
        match file {
            "examples/src/bin/one.rs" => Some("fn main() {\n    one();\n}\n".into()),
            "examples/src/bin/two/main.rs" => Some("fn main() {}\n".into()),
            "pg-wire/src/lib.rs" => Some(
                "//! A crate.\n//!\n//! ```\n//! use a::B;\n//!\n//! b();\n//! # Ok(())\n//! ```\n".into(),
            ),
            _ => None,
        }
    }

    /// The line and the text of each finding.
    fn findings(readme: &str) -> Vec<(usize, String)> {
        let findings = check_programs("README.md", readme, read).into_iter().chain(check_table(readme, read));
        findings.map(|finding| (finding.line, finding.wrong)).collect()
    }

    #[test]
    fn the_readmes_pass_and_the_readme_of_the_project_lists_at_least_eight_programs() {
        let read = |file: &str| fs::read_to_string(root().join(file)).ok();
        for path in READMES {
            let readme = read(path).expect("a README");
            assert_eq!(check_programs(path, &readme, read), []);
            assert!(readme.contains("```rust\n"), "{path} shows a program");
        }
        let readme = read("README.md").expect("a README");
        assert_eq!(check_table(&readme, read), []);
        assert!(readme.matches("```rust\n").count() >= 2, "the README shows at least two programs");
        let lines: Vec<&str> = readme.lines().collect();
        assert!(programs(&lines).len() >= 8, "{:?}", programs(&lines));
    }

    #[test]
    fn programs_equal_to_their_files_pass() {
        let one = "<!-- examples/src/bin/one.rs -->\n```rust\nfn main() {\n    one();\n}\n```\n";
        let library = "<!-- pg-wire/src/lib.rs -->\n```rust\nuse a::B;\n\nb();\n```\n";
        assert_eq!(findings(&format!("{one}{library}{TABLE}")), []);
    }

    #[test]
    fn a_program_that_differs_from_its_file_fails_at_the_first_different_line() {
        let changed = "<!-- examples/src/bin/one.rs -->\n```rust\nfn main() {\n    two();\n}\n```\n";
        let found = findings(&format!("{changed}{TABLE}"));
        assert_eq!(
            found,
            [(4, "the program differs from examples/src/bin/one.rs, which has `    one();` here".into())]
        );
        let short = changed.replace("    two();\n}\n", "");
        assert_eq!(
            findings(&format!("{short}{TABLE}")),
            [(2, "the program ends before `    one();` of examples/src/bin/one.rs".into())]
        );
        let long = changed.replace("two", "one").replace("}\n", "}\n// more\n");
        assert_eq!(
            findings(&format!("{long}{TABLE}")),
            [(6, "the program has lines after the end of examples/src/bin/one.rs".into())]
        );
    }

    #[test]
    fn a_program_without_the_name_of_its_file_or_with_an_unknown_name_fails() {
        assert_eq!(
            findings(&format!("```rust\nx\n```\n{TABLE}")),
            [(1, "a program without the name of its file".into())]
        );
        let unknown = "<!-- examples/src/bin/three.rs -->\n```rust\nx\n```\n";
        assert_eq!(
            findings(&format!("{unknown}{TABLE}")),
            [(1, "examples/src/bin/three.rs does not exist".into())]
        );
    }

    #[test]
    fn a_program_in_the_table_that_does_not_exist_fails() {
        let table = TABLE.replace("two", "three");
        assert_eq!(findings(&table), [(3, "the program `three` does not exist in examples/src/bin".into())]);
        assert_eq!(findings("no table"), [(1, "no table of the example programs was found".into())]);
    }

    #[test]
    fn the_example_of_a_library_is_the_first_in_its_documentation_without_hidden_lines() {
        let source = "//! A module.\n//!\n//! ```\n//! a();\n//! ```\n\n/// A type.\n/// ```text\n/// x\n/// ```\n///\n\
            /// ```no_run\n/// b();\n/// # c();\n/// #[d]\n/// ```\n";
        assert_eq!(shown("pg-wire/src/lib.rs", source), "a();\n");
        assert_eq!(shown("pg-wire/src/value/mod.rs", source), "b();\n#[d]\n");
        assert_eq!(shown("examples/src/bin/one.rs", source), source);
    }
}
