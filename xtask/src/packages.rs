//! The packages of the workspace that are published.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{paths, process};

/// A published package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The directory of the manifest.
    pub(crate) directory: PathBuf,
    /// The package in the output of `cargo metadata`.
    pub(crate) fields: Value,
}

impl Package {
    /// The names of the features. `default` is left out, because it is only a name for a set of other features.
    pub(crate) fn features(&self) -> Vec<String> {
        let features = self.fields["features"].as_object().into_iter().flatten();
        features.map(|(name, _)| name.clone()).filter(|name| name != "default").collect()
    }

    /// Whether the package has a library. A library of procedural macros does not count.
    pub(crate) fn has_library(&self) -> bool {
        let kinds = list(&self.fields["targets"]).iter().flat_map(|target| list(&target["kind"]));
        kinds.into_iter().any(|kind| kind == "lib")
    }

    /// The names of the published packages among this package's dependencies. Dependencies of tests are left out.
    pub(crate) fn depends_on(&self, packages: &[Package]) -> Vec<String> {
        let dependencies = list(&self.fields["dependencies"]).iter().filter(|one| one["kind"] != "dev");
        let names: Vec<_> = dependencies.filter_map(|one| one["name"].as_str()).collect();
        packages.iter().map(|one| one.name.clone()).filter(|name| names.contains(&name.as_str())).collect()
    }
}

/// All published packages of the workspace, in the order in which they can be published: each package comes after its dependencies.
pub(crate) fn published() -> Result<Vec<Package>> {
    read(&process::read(&mut paths::cargo(["metadata", "--no-deps", "--format-version", "1"]))?)
}

/// Reads the output of `cargo metadata`.
pub(crate) fn read(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("the output of `cargo metadata`")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    // In the output of `cargo metadata`, a package with `publish = false` has an empty list of registries.
    let is_published =
        |package: &&Value| package["publish"].as_array().is_none_or(|registries| !registries.is_empty());
    let read = |package: &Value| {
        let text = |key: &str| package[key].as_str().with_context(|| format!("a package without {key}"));
        let directory =
            Path::new(text("manifest_path")?).parent().context("a manifest without a directory")?;
        Ok(Package {
            name: text("name")?.to_owned(),
            directory: directory.to_owned(),
            fields: package.clone(),
        })
    };
    let packages: Vec<Package> = packages.iter().filter(is_published).map(read).collect::<Result<_>>()?;
    ordered(packages)
}

/// Sorts packages so that each package follows its dependencies.
fn ordered(mut packages: Vec<Package>) -> Result<Vec<Package>> {
    let mut ordered: Vec<Package> = Vec::new();
    while !packages.is_empty() {
        let next = packages.iter().position(|package| package.depends_on(&packages).is_empty());
        ordered.push(packages.remove(next.context("the packages depend on each other in a cycle")?));
    }
    Ok(ordered)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::read;

    fn names(metadata: &str) -> Vec<String> {
        read(metadata).expect("well-formed").into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn unpublished_packages_are_left_out_and_only_libraries_have_a_library() {
        let metadata = r#"{"packages": [
            {"name": "wire", "manifest_path": "/w/Cargo.toml", "publish": null, "targets": [{"kind": ["lib"]}],
                "features": {"default": ["std"], "std": []}},
            {"name": "tool", "manifest_path": "/t/Cargo.toml", "publish": null, "targets": [{"kind": ["bin"]}], "features": {}},
            {"name": "inner", "manifest_path": "/i/Cargo.toml", "publish": [], "targets": [{"kind": ["lib"]}], "features": {}}
        ]}"#;
        let [wire, tool] = &read(metadata).expect("well-formed")[..] else { panic!("two packages") };
        assert_eq!((wire.name.as_str(), wire.has_library()), ("wire", true));
        assert_eq!(wire.features(), ["std"]);
        assert_eq!(wire.directory.to_str(), Some("/w"));
        assert_eq!((tool.name.as_str(), tool.has_library()), ("tool", false));
    }

    #[test]
    fn a_package_comes_after_its_dependencies_and_a_dependency_of_tests_does_not_count() {
        let metadata = r#"{"packages": [
            {"name": "adapter", "manifest_path": "/a/Cargo.toml", "dependencies": [{"name": "wire", "kind": null}, {"name": "bytes", "kind": null}]},
            {"name": "wire", "manifest_path": "/w/Cargo.toml", "dependencies": [{"name": "derive", "kind": null}, {"name": "wire", "kind": "dev"}]},
            {"name": "derive", "manifest_path": "/d/Cargo.toml", "dependencies": [{"name": "wire", "kind": "dev"}]}
        ]}"#;
        assert_eq!(names(metadata), ["derive", "wire", "adapter"]);
        let cycle = metadata.replace("\"kind\": \"dev\"", "\"kind\": null");
        assert!(read(&cycle).is_err());
    }
}
