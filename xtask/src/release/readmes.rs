//! The README files of the packages, which the package registry shows.
//!
//! `cargo xtask lint` checks that the programs in these files are copies of compiled examples.

use std::fs;

use crate::packages::Package;

/// The faults in the README files of the packages.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let read = |package: &Package| fs::read_to_string(package.directory.join("README.md"));
    let faults = packages.iter().flat_map(|package| match read(package) {
        Ok(readme) => faults(&readme, &package.name, &package.features()),
        Err(error) => vec![format!("README.md: {error}")],
    });
    faults.collect()
}

/// The faults in one README file.
fn faults(readme: &str, name: &str, features: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    if !readme.starts_with(&format!("# {name}\n")) {
        faults.push(format!("the first line is not `# {name}`"));
    }
    if !readme.contains("\n```rust\n") {
        faults.push("no example in Rust".to_owned());
    }
    let section = readme.split_once("\n## Features\n").map(|(_, section)| section);
    let Some(section) = section.filter(|_| !features.is_empty()) else {
        if !features.is_empty() {
            faults.push("no section `## Features`".to_owned());
        }
        return named(faults, name);
    };
    let missing = features.iter().filter(|feature| !section.contains(&format!("`{feature}`")));
    faults.extend(missing.map(|feature| format!("the feature `{feature}` is not described")));
    named(faults, name)
}

/// Adds the name of the package to each fault.
fn named(faults: Vec<String>, name: &str) -> Vec<String> {
    faults.into_iter().map(|fault| format!("README.md of {name}: {fault}")).collect()
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn a_readme_has_the_name_an_example_and_each_feature() {
        let readme = "# a\n\n```rust\nx();\n```\n\n## Features\n\n| `one` | adds |\n";
        let features = ["one".to_owned()];
        assert_eq!(faults(readme, "a", &features), [""; 0]);
        assert_eq!(faults("# a\n\n```rust\nx();\n```\n", "a", &[]), [""; 0]);
        assert_eq!(
            faults(&readme.replace("# a\n", "# b\n"), "a", &features),
            ["README.md of a: the first line is not `# a`"]
        );
        assert_eq!(
            faults(&readme.replace("```rust", "```"), "a", &features),
            ["README.md of a: no example in Rust"]
        );
        assert_eq!(
            faults(&readme.replace("one", "two"), "a", &features),
            ["README.md of a: the feature `one` is not described"]
        );
        assert_eq!(
            faults(&readme.replace("Features", "More"), "a", &features),
            ["README.md of a: no section `## Features`"]
        );
    }
}
