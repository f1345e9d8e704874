//! The modules of a crate. Finds the module that declares the item of a path.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use syn::{Item, UseTree, Visibility};

use crate::lint::source::{Source, attributes, is_test};

/// Maximum number of re-exports that are followed for one path. No crate has a longer chain, unless its re-exports form a cycle.
const MOST_STEPS: usize = 32;

/// The modules of a crate, except its test modules.
pub(super) struct Tree {
    /// All modules; the first module is the root.
    pub(super) modules: Vec<Module>,
}

/// One module: a file, or a `mod NAME { … }` within a file.
#[derive(Default)]
pub(super) struct Module {
    /// Index of the module's file in the list of the crate's sources.
    pub(super) file: usize,
    parent: usize,
    /// For an inline module: the names of the inline modules that contain its items, the outermost first. Empty for a file's module.
    pub(super) within: Vec<String>,
    /// The child modules that this module declares: a map from the name to the index in the list of modules.
    children: BTreeMap<String, usize>,
    /// The names of the items that this module declares, except its child modules.
    items: BTreeSet<String>,
    /// The imports and re-exports of this module.
    pub(super) uses: Vec<Use>,
}

/// One name that a `use` declares, with its path.
#[derive(Debug)]
pub(super) struct Use {
    /// The name that the `use` declares in this module; `*` for a glob.
    name: String,
    /// The imported path, as written in the `use`.
    pub(super) path: Vec<String>,
    /// Whether the name is re-exported: by `pub use`, or with a narrower visibility, such as `pub(crate) use`.
    pub(super) is_export: bool,
    pub(super) line: usize,
}

/// The item or module to which a path refers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The module with this index in the list of modules.
    Module(usize),
    /// An item, or a part of an item such as an enum variant, in the module with this index.
    Item(usize),
    /// A path into another crate, or a name that is local to a function.
    Outside(Vec<String>),
}

impl Tree {
    /// Finds the modules of a crate, beginning with the root file.
    pub(super) fn new(sources: &[Source]) -> Result<Self> {
        let is_root =
            |source: &Source| source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        let root = sources.iter().position(is_root).context("a crate without lib.rs and main.rs")?;
        let (folder, _) = sources[root].path.rsplit_once('/').context("a root without a folder")?;
        let mut tree = Self { modules: vec![Module { file: root, ..Module::default() }] };
        tree.fill(0, &sources[root].code.items, folder, sources)?;
        Ok(tree)
    }

    /// Adds the items of the module with the index `at`. `folder` is the folder with the files of the module's child modules.
    fn fill(&mut self, at: usize, items: &[Item], folder: &str, sources: &[Source]) -> Result<()> {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inner = format!("{folder}/{name}");
                    let content = module.content.as_ref().map(|(_, items)| items);
                    let files = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                    let file = match content {
                        Some(_) => self.modules[at].file,
                        None => sources.iter().position(|source| files.contains(&source.path)).with_context(
                            || format!("{}: `mod {name}` has no file", sources[self.modules[at].file].path),
                        )?,
                    };
                    let within = content
                        .map(|_| [self.modules[at].within.as_slice(), std::slice::from_ref(&name)].concat());
                    let child = self.modules.len();
                    let within = within.unwrap_or_default();
                    self.modules.push(Module { file, parent: at, within, ..Module::default() });
                    // Two modules of one name are alternatives with opposite `cfg` conditions. A path refers to the module in a file of its
                    // own, because only a module in another file can be part of a cycle.
                    if content.is_none() || !self.modules[at].children.contains_key(&name) {
                        self.modules[at].children.insert(name, child);
                    }
                    self.fill(child, content.unwrap_or(&sources[file].code.items), &inner, sources)?;
                }
                Item::Use(item) => {
                    let is_export = !matches!(item.vis, Visibility::Inherited);
                    // After a leading `::`, the first name of the path is the name of a crate.
                    let prefix = item.leading_colon.map(|_| String::from("::")).into_iter().collect();
                    flatten(&item.tree, prefix, is_export, &mut self.modules[at].uses);
                }
                other => self.modules[at].items.extend(name(other)),
            }
        }
        Ok(())
    }

    /// Finds the item or module to which `path` refers when it is written in module `at`.
    pub(super) fn resolve(&self, at: usize, path: &[String]) -> Place {
        self.follow(at, path, MOST_STEPS)
    }

    fn follow(&self, at: usize, path: &[String], steps: usize) -> Place {
        let outside = || Place::Outside(path.to_vec());
        let Some(left) = steps.checked_sub(1) else { return outside() };
        let Some((first, rest)) = path.split_first() else { return Place::Module(at) };
        let mut place = match first.as_str() {
            "crate" => Place::Module(0),
            "self" => Place::Module(at),
            "super" => Place::Module(self.modules[at].parent),
            name => match self.lookup(at, name, left) {
                Some(place) => place,
                None => return outside(),
            },
        };
        for name in rest {
            place = match place {
                Place::Module(module) if name == "super" => Place::Module(self.modules[module].parent),
                // If the module does not declare the name, a macro call in the module is assumed to declare it.
                Place::Module(module) => self.lookup(module, name, left).unwrap_or(Place::Item(module)),
                Place::Item(_) => return place,
                Place::Outside(mut path) => {
                    path.push(name.clone());
                    Place::Outside(path)
                }
            };
        }
        place
    }

    /// Finds the item or module to which a single name refers in module `at`.
    fn lookup(&self, at: usize, name: &str, steps: usize) -> Option<Place> {
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(Place::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Place::Item(at));
        }
        if let Some(found) = module.uses.iter().find(|found| found.name == name) {
            return match found.path.as_slice() {
                // `use NAME;` imports the crate NAME.
                [only] if only == name => Some(Place::Outside(found.path.clone())),
                path => Some(self.follow(at, path, steps)),
            };
        }
        let globs = module.uses.iter().filter(|found| found.name == "*");
        globs
            .filter_map(|glob| match self.follow(at, &glob.path, steps) {
                Place::Module(target) if target != at => self.lookup(target, name, steps.checked_sub(1)?),
                _ => None,
            })
            .next()
    }
}

/// Adds one `Use` for each name that a `use` declares.
fn flatten(tree: &UseTree, mut prefix: Vec<String>, is_export: bool, uses: &mut Vec<Use>) {
    let mut push = |name: String, path: Vec<String>, line| uses.push(Use { name, path, is_export, line });
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, is_export, uses);
        }
        UseTree::Name(name) if name.ident == "self" => {
            push(prefix.last().cloned().unwrap_or_default(), prefix, name.ident.span().start().line);
        }
        UseTree::Name(name) => {
            prefix.push(name.ident.to_string());
            push(name.ident.to_string(), prefix, name.ident.span().start().line);
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                prefix.push(rename.ident.to_string());
            }
            push(rename.rename.to_string(), prefix, rename.ident.span().start().line);
        }
        UseTree::Glob(glob) => push(String::from("*"), prefix, glob.star_token.spans[0].start().line),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), is_export, uses));
        }
    }
}

/// The name that an item declares.
fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}
