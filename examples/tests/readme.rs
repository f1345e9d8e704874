//! The README's programs are cut from files that the tests compile and run.

use std::fs;
use std::path::Path;

/// A block of code in the README, and the file that the comment above it names.
struct Block<'a> {
    file: &'a str,
    code: &'a str,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is around it")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every block of Rust; one without a comment that names its file is an error.
fn blocks(readme: &str) -> Vec<Block<'_>> {
    let parts: Vec<&str> = readme.split("```rust\n").collect();
    assert!(parts.len() > 2, "the README shows a program and ten lines");
    parts
        .windows(2)
        .map(|pair| {
            let above = pair[0].trim_end().lines().last().expect("a line above the block");
            let file = above.strip_prefix("<!-- ").and_then(|file| file.strip_suffix(" -->"));
            let (code, _) = pair[1].split_once("```").expect("the block ends");
            Block { file: file.unwrap_or_else(|| panic!("above a block stands {above:?}")), code }
        })
        .collect()
}

/// A file as the README shows it: of a library, the first example in the crate's documentation, without its hidden lines.
fn shown(file: &str) -> String {
    let source = read(file);
    if !file.ends_with("lib.rs") {
        return source;
    }
    let docs: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let example =
        docs.iter().skip_while(|line| line.trim() != "```").skip(1).take_while(|line| line.trim() != "```");
    let lines =
        example.map(|line| line.strip_prefix(' ').unwrap_or(line)).filter(|line| !line.starts_with("# "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_program_in_the_readme_is_one_that_the_tests_run() {
    let readme = read("README.md");
    for Block { file, code } in blocks(&readme) {
        assert_eq!(code, shown(file), "the README differs from {file}");
    }
}

#[test]
fn every_program_that_the_readme_lists_is_there() {
    let readme = read("README.md");
    let table = readme.split_once("| program | shows |").expect("a table of programs").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut seen = 0;
    for row in rows {
        let names = row.split('|').nth(1).expect("a first column");
        for name in names.split('`').skip(1).step_by(2) {
            let name = name.split(' ').next().expect("a name");
            let bin = root().join("examples/src/bin");
            assert!(
                bin.join(format!("{name}.rs")).exists() || bin.join(name).join("main.rs").exists(),
                "{name}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} programs");
}
