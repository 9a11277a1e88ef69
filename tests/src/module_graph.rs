//! Finds which top-level modules of a crate import which others, and the cycles between them. Pure: it works on the text of the source files.

use std::collections::{BTreeMap, BTreeSet};

/// The modules, each with the modules that it imports.
#[derive(Debug, Default)]
pub struct ModuleGraph(BTreeMap<String, BTreeSet<String>>);

impl ModuleGraph {
    /// Adds a source file of a top-level module.
    pub fn add(&mut self, module: &str, text: &str) {
        let imported = imports(text).into_iter().filter(|name| name != module);
        self.0.entry(module.to_owned()).or_default().extend(imported);
    }

    /// Returns the number of modules.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no file was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a shortest cycle through each module that is in one, written as `a -> b -> a`. Each cycle is listed once.
    pub fn cycles(&self) -> Vec<String> {
        let mut found: BTreeMap<BTreeSet<&str>, String> = BTreeMap::new();
        for start in self.0.keys() {
            if let Some(cycle) = self.cycle_through(start) {
                let text = format!("{} -> {start}", cycle.join(" -> "));
                found.entry(cycle.into_iter().collect()).or_insert(text);
            }
        }
        found.into_values().collect()
    }

    /// Returns the modules of a shortest path from `start` back to itself, beginning with `start`.
    fn cycle_through<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut ways: Vec<Vec<&str>> = vec![vec![start]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for next in way.last().and_then(|last| self.0.get(*last)).into_iter().flatten() {
                    if next == start {
                        return Some(way);
                    }
                    if seen.insert(next.as_str()) {
                        longer.push(way.iter().copied().chain([next.as_str()]).collect());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

/// Returns the first name after each `crate::` that is not in a comment.
fn imports(text: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => names.extend(first_names(group)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

/// Returns the first name of each item of a `use` group, up to the closing brace.
fn first_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut item) = (0_u32, String::new());
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(first_name(&std::mem::take(&mut item))),
            _ if depth == 0 => item.push(character),
            _ => {}
        }
    }
    names.extend(first_name(&item));
    names
}

fn first_name(path: &str) -> Option<String> {
    let is_part = |character: &char| character.is_alphanumeric() || *character == '_';
    let name: String = path.trim_start().chars().take_while(is_part).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> ModuleGraph {
        let mut graph = ModuleGraph::default();
        for (module, text) in files {
            graph.add(module, text);
        }
        graph
    }

    #[test]
    fn imports_are_read_from_paths_and_from_groups_and_not_from_comments() {
        let text = "//! See `crate::other`.\nuse crate::{\n    cache::{Body, Kept},\n    store::{self, open::{a, b}},\n    events,\n};\n\
                    fn f() -> crate::memory::Budget { super::g() }\n    // crate::nobody\n";
        assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["cache", "events", "memory", "store"]);
    }

    #[test]
    fn each_cycle_is_told_once_with_its_way_and_a_module_may_import_itself() {
        for (files, expected) in [
            (&[("a", "use crate::b;"), ("b", "use crate::{c, a2};"), ("c", "use crate::c::d;")][..], vec![]),
            (&[("a", "use crate::b::{X};"), ("b", "use crate::a;")], vec!["a -> b -> a"]),
            (
                &[
                    ("a", "use crate::b;"),
                    ("b", "use crate::c;"),
                    ("c", "use crate::a;"),
                    ("d", "use crate::a;"),
                ],
                vec!["a -> b -> c -> a"],
            ),
            // This module has two files.
            (&[("a", "use crate::b;"), ("b", ""), ("b", "fn f() { crate::a::g() }")], vec!["a -> b -> a"]),
        ] {
            assert_eq!(graph(files).cycles(), expected, "{files:?}");
        }
    }
}
