//! Programs that do not compile: the compiler's error says what to write instead.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The name of a program, its statement, and a text that the compiler's error contains.
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
fn the_error_of_the_compiler_says_what_to_write() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let package = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: String| fs::write(package.path().join(path), text).expect("a file");
    fs::create_dir_all(package.path().join("src/bin")).expect("a directory");
    fs::copy(root.join("Cargo.lock"), package.path().join("Cargo.lock")).expect("the lock file");
    let header = "[package]\nname = \"programs\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n";
    write("Cargo.toml", format!("{header}pg-wire = {{ path = \"{}/pg-wire\" }}\n", root.display()));
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
    let check = |name: &str| {
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["check", "--offline", "--bin", name])
            .current_dir(package.path())
            .env("CARGO_TARGET_DIR", root.join("target/readme"))
            .output()
            .expect("cargo runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    write("src/bin/valid.rs", source("columns.decode::<(i32,)>(&row).map(drop)"));
    let (compiles, errors) = check("valid");
    assert!(compiles, "{errors}");
    for (name, statement, expected) in PROGRAMS {
        write(&format!("src/bin/{name}.rs"), source(statement));
        let (compiles, errors) = check(name);
        assert!(!compiles, "{name} compiles");
        assert!(errors.contains(expected), "{name}: expected {expected:?} in\n{errors}");
    }
}
