//! Tests that compile packages outside the workspace. The programs in the README must compile with the `[dependencies]` in the README. For
//! an invalid program, the compiler's error must name the correction.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// A cargo package outside the workspace, in a temporary directory.
struct Package(TempDir);

impl Package {
    /// Creates a package. `dependencies` is the section `[dependencies]` of its manifest.
    fn new(dependencies: &str) -> Self {
        let package = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(package.0.path().join("src/bin")).expect("a directory");
        // The workspace's lock file selects versions that are downloaded already, so cargo needs no network.
        fs::copy(root().join("Cargo.lock"), package.0.path().join("Cargo.lock")).expect("the lock file");
        let header = "[package]\nname = \"programs\"\nedition = \"2024\"\n\n[workspace]\n\n";
        package.write("Cargo.toml", &format!("{header}{dependencies}"));
        package
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.path().join(path), text).expect("a file");
    }

    /// Compiles the programs that `selection` selects. Returns whether they compile, and the output of the compiler.
    fn check(&self, selection: &[&str]) -> (bool, String) {
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["check", "--offline"])
            .args(selection)
            .current_dir(self.0.path())
            .env("CARGO_TARGET_DIR", root().join("target/readme"))
            .output()
            .expect("cargo runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Returns the directory of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Returns the content of each code block in the README that begins with the line `fence`.
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
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let [dependencies] = &blocks(&readme, "```toml")[..] else { panic!("README has one block of TOML") };
    let package = Package::new(&dependencies.replace('\u{2026}', &root().display().to_string()));
    let mut programs = blocks(&readme, "```rust");
    programs.retain(|program| program.contains("fn main()"));
    assert!(programs.len() >= 2, "README has programs");
    for (number, program) in programs.iter().enumerate() {
        package.write(&format!("src/bin/program_{number}.rs"), program);
    }
    let (compiles, errors) = package.check(&["--bins"]);
    assert!(compiles, "{errors}");
}

/// Invalid programs: the name of each program, its only statement, and a text that the compiler's error must contain.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("not_a_row", "columns.decode::<i32>(&row).map(drop)", "a row of one column is written `(T,)`"),
    (
        "not_a_value",
        "columns.decode::<(std::time::SystemTime,)>(&row).map(drop)",
        "is read as `Sql<SystemTime>`",
    ),
    ("unsigned_value", "columns.decode::<(usize,)>(&row).map(drop)", "PostgreSQL has no `u8` and no `usize`"),
    (
        "unsigned_in_a_tuple",
        "Vec::new().bind(Statement::UNNAMED, Portal::UNNAMED).finish((1i32, 1usize)).map(drop)",
        "PostgreSQL has no unsigned `int8`: use an `i64`",
    ),
    (
        "one_parameter",
        "Vec::new().bind(Statement::UNNAMED, Portal::UNNAMED).finish(1i32).map(drop)",
        "a single parameter is written `(value,)`",
    ),
];

#[test]
#[ignore = "compiles for a minute: cargo xtask test"]
fn the_error_of_the_compiler_names_the_attribute_to_write() {
    let package =
        Package::new(&format!("[dependencies]\npg-wire = {{ path = \"{}/pg-wire\" }}\n", root().display()));
    let source = |statement: &str| {
        format!(
            "use pg_wire::{{PgProtocol, Portal, Statement, backend::DataRow, codec::Values, value::Columns}};\n\
             fn main() {{\n\
             let (columns, row) = (Columns::default(), DataRow {{ values: Values::EMPTY }});\n\
             let _ = (&columns, &row, Statement::UNNAMED, Portal::UNNAMED);\n\
             let _ = {statement};\n\
             }}\n"
        )
    };

    package.write("src/bin/valid.rs", &source("columns.decode::<(i32,)>(&row).map(drop)"));
    let (compiles, errors) = package.check(&["--bin", "valid"]);
    assert!(compiles, "{errors}");
    for (name, statement, expected) in PROGRAMS {
        package.write(&format!("src/bin/{name}.rs"), &source(statement));
        let (compiles, errors) = package.check(&["--bin", name]);
        assert!(!compiles, "{name} compiles");
        assert!(errors.contains(expected), "{name}: expected {expected:?} in\n{errors}");
    }
}
