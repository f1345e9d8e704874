//! Checks every library crate with the sets of features that a user may choose.

use anyhow::{Result, bail};

use crate::{packages, paths, process};

/// A crate with at most this number of features is checked with every set of its features. Each further feature would double the number of
/// sets, so a crate with more features is checked only with some sets.
const ALL_SETS: usize = 3;

/// Lints every library crate with each set of features. Warnings are errors. For example, a function that is used only with a feature
/// causes a warning if the feature is off.
pub(super) fn run() -> Result<()> {
    for library in packages::published()?.iter().filter(|package| package.has_library()) {
        without_tls(&library.name)?;
        for set in sets(&library.features()) {
            let set = set.join(",");
            eprintln!("{} --no-default-features --features '{set}'", library.name);
            let clippy = [
                "clippy",
                "--quiet",
                "--package",
                &library.name,
                "--no-default-features",
                "--features",
                &set,
            ];
            process::succeed(paths::cargo(clippy).args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// Parts of the names of TLS packages. A user without TLS must not have to compile such a package.
const TLS: [&str; 7] =
    ["aws-lc", "native-tls", "openssl", "rustls", "schannel", "security-framework", "webpki"];

/// Checks that `library`, built without features, depends on no TLS library on any platform.
fn without_tls(library: &str) -> Result<()> {
    let tree = ["tree", "--package", library, "--no-default-features", "--edges", "normal,build"];
    let tree = process::read(paths::cargo(tree).args(["--target", "all", "--prefix", "none"]))?;
    match tls_packages(&tree).as_slice() {
        [] => Ok(()),
        found => {
            bail!("{library} without features depends on {}; make the dependency optional", found.join(", "))
        }
    }
}

/// Returns the TLS packages in the output of `cargo tree`. The output has one package on each line.
fn tls_packages(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let is_tls = |name: &&str| *name == "ring" || TLS.iter().any(|word| name.contains(word));
    let mut found: Vec<_> = names.filter(is_tls).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The sets of features to check. For at most [`ALL_SETS`] features: every set. For more features: the empty set, each feature alone, and
/// all features.
fn sets(features: &[String]) -> Vec<Vec<&str>> {
    let names: Vec<&str> = features.iter().map(String::as_str).collect();
    if names.len() > ALL_SETS {
        let alone = names.iter().map(|name| vec![*name]);
        return std::iter::once(Vec::new()).chain(alone).chain([names.clone()]).collect();
    }
    // Each feature doubles the list: the sets without the feature, then the sets with the feature.
    names.iter().fold(vec![Vec::new()], |sets, name| {
        let with = sets.iter().map(|set| [set.as_slice(), &[name]].concat()).collect::<Vec<_>>();
        [sets, with].concat()
    })
}

#[cfg(test)]
mod tests {
    use super::{sets, tls_packages};

    fn names(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn few_features_are_tried_in_every_set() {
        assert_eq!(sets(&[]), [[""; 0]]);
        assert_eq!(sets(&names("a b")), [vec![], vec!["a"], vec!["b"], vec!["a", "b"]]);
        assert_eq!(sets(&names("a b c")).len(), 8);
    }

    #[test]
    fn many_features_are_tried_alone_and_together() {
        let features = names("a b c d e");
        let sets = sets(&features);
        assert_eq!(sets.len(), 7);
        assert_eq!(sets[0], [""; 0]);
        assert_eq!(sets[1], ["a"]);
        assert_eq!(sets[6], ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn tls_packages_are_found_by_their_names() {
        let tree = "pg-stream-tokio v0.1.0 (/pg-stream-tokio)\ntokio-rustls v0.26.6\nring v0.17.14\nring v0.17.14 (*)\n\
            bytes v1.12.1\nopenssl-sys v0.9.1\n\nasync-native-tls v0.5.0\nstringprep v0.1.5\n";
        assert_eq!(tls_packages(tree), ["async-native-tls", "openssl-sys", "ring", "tokio-rustls"]);
        assert_eq!(tls_packages("pg-wire v0.1.0 (/pg-wire)\nbytes v1.12.1\nsubtle v2.6.1\n"), [""; 0]);
    }
}
