//! The metadata in the manifests, and the licence texts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::packages::Package;

/// The categories of the package registry that fit a package of this project. The registry rejects every name that is not in its list of
/// categories.
const CATEGORIES: [&str; 9] = [
    "asynchronous",
    "authentication",
    "database",
    "development-tools::procedural-macro-helpers",
    "development-tools::testing",
    "encoding",
    "network-programming",
    "no-std",
    "parser-implementations",
];

/// Limits of the package registry: a package has at most `MOST_WORDS` keywords and at most `MOST_WORDS` categories, and a keyword has at
/// most `LONGEST_KEYWORD` characters.
const MOST_WORDS: usize = 5;
const LONGEST_KEYWORD: usize = 20;

/// The files with the licence texts, in the root directory and in the directory of each package.
const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// An attribute that the `lib.rs` of each library with features must have. With this attribute, docs.rs shows which feature an item needs.
const DOC_CFG: &str = "#![cfg_attr(docsrs, feature(doc_cfg))]";

/// The faults of all packages. `root` is the directory with the licence texts.
pub(super) fn check(packages: &[Package], root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        let mut found = metadata(package);
        found.extend(versions(package, packages));
        found.extend(licences(package, root));
        if package.has_library() && !package.features().is_empty() {
            let library = fs::read_to_string(package.directory.join("src/lib.rs")).unwrap_or_default();
            if !library.contains(DOC_CFG) {
                found.push(format!("src/lib.rs has no line `{DOC_CFG}`"));
            }
        }
        let same =
            packages[..index].iter().find(|other| other.fields["keywords"] == package.fields["keywords"]);
        if let Some(same) = same {
            found.push(format!("the keywords are the same as those of {}", same.name));
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", package.name)));
    }
    faults
}

/// The faults in the fields of one manifest.
fn metadata(package: &Package) -> Vec<String> {
    let fields = &package.fields;
    let mut faults = Vec::new();
    let expected = [
        ("license", "MIT OR Apache-2.0".to_owned()),
        ("documentation", format!("https://docs.rs/{}", package.name)),
        ("readme", "README.md".to_owned()),
    ];
    for (field, expected) in expected {
        if fields[field].as_str() != Some(&expected) {
            faults.push(format!("`{field}` is {}, expected \"{expected}\"", fields[field]));
        }
    }
    for field in ["description", "repository", "rust_version"] {
        if fields[field].as_str().unwrap_or_default().is_empty() {
            faults.push(format!("`{}` is missing", field.replace('_', "-")));
        }
    }
    faults.extend(words(fields, "keywords", |word| {
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || "-_+".contains(letter);
        word.len() <= LONGEST_KEYWORD && word.chars().all(is_known)
    }));
    faults.extend(words(fields, "categories", |word| CATEGORIES.contains(&word)));
    let docs = &fields["metadata"]["docs"]["rs"];
    if docs["all-features"] != true || docs["rustdoc-args"] != Value::from(vec!["--cfg", "docsrs"]) {
        faults.push(
            "`[package.metadata.docs.rs]` needs `all-features = true` and `rustdoc-args = [\"--cfg\", \"docsrs\"]`".into(),
        );
    }
    faults
}

/// The faults of a list of words, `keywords` or `categories`.
fn words(fields: &Value, field: &str, is_valid: impl Fn(&str) -> bool) -> Vec<String> {
    let words: Vec<&str> = fields[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut faults = Vec::new();
    if words.is_empty() || words.len() > MOST_WORDS {
        faults.push(format!("{} {field}, expected 1 to {MOST_WORDS}", words.len()));
    }
    let invalid = words.into_iter().filter(|word| !is_valid(word));
    faults
        .extend(invalid.map(|word| format!("\"{word}\" in `{field}` is not valid in the package registry")));
    faults
}

/// The faults of the version, and of the versions of the dependencies among `packages`. All packages must have the same version.
fn versions(package: &Package, packages: &[Package]) -> Vec<String> {
    let version = |package: &Package| package.fields["version"].as_str().unwrap_or_default().to_owned();
    let (own, first) = (version(package), packages.first().map(version).unwrap_or_default());
    let mut faults = Vec::new();
    if own != first {
        faults.push(format!("the version is {own}, expected {first}"));
    }
    let siblings = package.depends_on(packages);
    for dependency in package.fields["dependencies"].as_array().into_iter().flatten() {
        let name = dependency["name"].as_str().unwrap_or_default();
        let required = dependency["req"].as_str().unwrap_or_default();
        if dependency["kind"] != "dev"
            && siblings.iter().any(|sibling| sibling == name)
            && required != format!("^{first}")
        {
            faults.push(format!("the dependency {name} has the version {required}, expected ^{first}"));
        }
    }
    faults
}

/// The faults of the licence texts, which must be the same as in the root directory.
fn licences(package: &Package, root: &Path) -> Vec<String> {
    let is_copy = |file: &str| match (fs::read(root.join(file)), fs::read(package.directory.join(file))) {
        (Ok(expected), Ok(found)) => expected == found,
        _ => false,
    };
    let differing = LICENCES.iter().filter(|file| !is_copy(file));
    differing.map(|file| format!("{file} is not a copy of {file} in the root directory")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::check;
    use crate::packages::read;

    const GOOD: &str = r##"{"name": "a", "version": "1.0.0", "manifest_path": "DIR/a/Cargo.toml", "license": "MIT OR Apache-2.0",
        "documentation": "https://docs.rs/a", "readme": "README.md", "description": "A.", "repository": "https://example.org/a",
        "rust_version": "1.89", "keywords": ["one", "two"], "categories": ["database"], "features": {"f": []},
        "targets": [{"kind": ["lib"]}], "metadata": {"docs": {"rs": {"all-features": true, "rustdoc-args": ["--cfg", "docsrs"]}}}}"##;

    /// Replaces `from` by `to` in the metadata of a correct package, and returns the faults of the result.
    fn faults(from: &str, to: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("a/src")).expect("a directory");
        for licence in super::LICENCES {
            fs::write(root.path().join(licence), "text").expect("a file");
            fs::write(root.path().join("a").join(licence), "text").expect("a file");
        }
        fs::write(root.path().join("a/src/lib.rs"), super::DOC_CFG).expect("a file");
        assert!(GOOD.contains(from), "{from}");
        let metadata = GOOD.replace(from, to).replace("DIR", &root.path().display().to_string());
        let packages = read(&format!("{{\"packages\": [{metadata}]}}")).expect("well-formed");
        check(&packages, root.path())
    }

    #[test]
    fn each_fault_of_a_manifest_is_reported() {
        assert_eq!(faults("A.", "B."), [""; 0]);
        assert_eq!(
            faults("MIT OR", "GPL OR"),
            ["a: `license` is \"GPL OR Apache-2.0\", expected \"MIT OR Apache-2.0\""]
        );
        assert_eq!(faults("\"README.md\"", "null"), ["a: `readme` is null, expected \"README.md\""]);
        assert_eq!(
            faults("docs.rs/a", "docs.rs/b"),
            ["a: `documentation` is \"https://docs.rs/b\", expected \"https://docs.rs/a\""]
        );
        assert_eq!(faults("https://example.org/a", ""), ["a: `repository` is missing"]);
        assert_eq!(
            faults("[\"database\"]", "[\"databases\"]"),
            ["a: \"databases\" in `categories` is not valid in the package registry"]
        );
        assert_eq!(faults("[\"one\", \"two\"]", "[]"), ["a: 0 keywords, expected 1 to 5"]);
        assert_eq!(
            faults("two", "two words"),
            ["a: \"two words\" in `keywords` is not valid in the package registry"]
        );
        assert_eq!(faults("true", "false").len(), 1);
    }

    #[test]
    fn a_missing_or_changed_licence_text_is_reported() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("a/src")).expect("a directory");
        fs::write(root.path().join("a/src/lib.rs"), super::DOC_CFG).expect("a file");
        for licence in super::LICENCES {
            fs::write(root.path().join(licence), "text").expect("a file");
        }
        fs::write(root.path().join("a/LICENSE-MIT"), "changed").expect("a file");
        let metadata = GOOD.replace("DIR", &root.path().display().to_string());
        let packages = read(&format!("{{\"packages\": [{metadata}]}}")).expect("well-formed");
        let expected =
            super::LICENCES.map(|file| format!("a: {file} is not a copy of {file} in the root directory"));
        assert_eq!(check(&packages, root.path()), expected);
    }

    #[test]
    fn packages_with_other_versions_or_the_same_keywords_are_reported() {
        let second = GOOD.replace("\"name\": \"a\"", "\"name\": \"b\"").replace("docs.rs/a", "docs.rs/b");
        let second = second.replace(
            "\"features\"",
            "\"dependencies\": [{\"name\": \"a\", \"req\": \"^0.9\", \"kind\": null}], \"features\"",
        );
        let second = second.replace("1.0.0", "1.0.1");
        let packages = read(&format!("{{\"packages\": [{GOOD}, {second}]}}")).expect("well-formed");
        let faults = check(&packages, std::path::Path::new("/nowhere"));
        for expected in [
            "b: the version is 1.0.1, expected 1.0.0",
            "b: the dependency a has the version ^0.9, expected ^1.0.0",
            "b: the keywords are the same as those of a",
        ] {
            assert!(faults.iter().any(|fault| fault == expected), "{faults:?}");
        }
    }
}
