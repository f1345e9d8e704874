//! The `[dependencies]` of the README compile the programs of the README, in a directory that contains nothing else.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Returns the lines of each block of the README that begins with this fence.
fn blocks(readme: &str, fence: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while lines.any(|line| line == fence) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n") + "\n");
    }
    blocks
}

#[test]
#[ignore = "compiles for a minute: cargo xtask test"]
fn the_dependencies_of_the_readme_compile_its_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let package = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: String| fs::write(package.path().join(path), text).expect("a file");

    let [dependencies] = &blocks(&readme, "```toml")[..] else { panic!("README has one block of TOML") };
    let dependencies = dependencies.replace('\u{2026}', &root.display().to_string());
    let header = "[package]\nname = \"program\"\nedition = \"2024\"\n\n[workspace]\n\n";
    write("Cargo.toml", format!("{header}{dependencies}"));
    // With these versions, nothing is downloaded that the workspace has not downloaded already.
    fs::copy(root.join("Cargo.lock"), package.path().join("Cargo.lock")).expect("the lock file");
    fs::create_dir_all(package.path().join("src/bin")).expect("a directory");
    let mut programs = blocks(&readme, "```rust");
    programs.retain(|program| program.contains("fn main()"));
    assert!(programs.len() >= 2, "README has programs");
    for (number, program) in programs.into_iter().enumerate() {
        write(&format!("src/bin/program_{number}.rs"), program);
    }

    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--offline", "--bins"])
        .current_dir(package.path())
        .env("CARGO_TARGET_DIR", root.join("target/readme"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
