//! The papers that stand beside the code: the map, the front pages, the changelog.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const MAP: &str = "ARCHITECTURE.md";
const CHANGELOG: &str = "CHANGELOG.md";
/// Lines of a front page.
const FRONT_PAGE: usize = 60;

/// In the map, the table under each crate's heading names every file and folder of its `src/`, and none that is not there.
pub(super) fn the_map_names_what_exists(tree: &Tree) -> Vec<Finding> {
    let Some(map) = tree.file(MAP) else { return vec![missing(MAP, "write the map of the crates")] };
    let mut findings = Vec::new();
    for name in tree.crates() {
        let folder = format!("crates/{name}");
        let exist = modules(tree, &folder);
        let heading = map.line_of(&format!("# {folder}"));
        if heading == 0 {
            findings.push(
                map.finding(0, format!("has no heading `### {folder}`; add it with a table of its src/")),
            );
            continue;
        }
        let named = table_below(&map.text, heading);
        for module in exist.iter().filter(|module| !named.iter().any(|(_, name)| name == *module)) {
            findings
                .push(map.finding(heading, format!("does not say what {folder}/src/{module} is; add a row")));
        }
        for (line, module) in named.iter().filter(|(_, module)| !exist.contains(module)) {
            findings.push(
                map.finding(
                    *line,
                    format!("names {folder}/src/{module}, which does not exist; mend the row"),
                ),
            );
        }
    }
    findings
}

/// Every crate has a `README.md` of at most [`FRONT_PAGE`] lines, which its `lib.rs` shows.
pub(super) fn crates_have_front_pages(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tree.crates() {
        let path = format!("crates/{name}/README.md");
        let Some(page) = tree.file(&path) else {
            findings.push(missing(&path, "write the crate's front page"));
            continue;
        };
        let lines = page.text.lines().count();
        if lines > FRONT_PAGE {
            let what =
                format!("has {lines} lines, a front page at most {FRONT_PAGE}; move detail to the modules");
            findings.push(page.finding(lines, what));
        }
        if let Some(library) = tree.file(&format!("crates/{name}/src/lib.rs"))
            && !library.text.contains("#![doc = include_str!(\"../README.md\")]")
        {
            findings.push(
                library.finding(1, "does not show the front page; include README.md as its documentation"),
            );
        }
    }
    findings
}

/// The changelog has a section for what comes next.
pub(super) fn the_changelog_has_room(tree: &Tree) -> Vec<Finding> {
    match tree.file(CHANGELOG) {
        None => vec![missing(CHANGELOG, "begin it with `## [Unreleased]`")],
        Some(log) if log.line_of("## [Unreleased]") == 0 => {
            vec![log.finding(0, "has no section `## [Unreleased]`; add it, changes go there")]
        }
        Some(_) => Vec::new(),
    }
}

fn missing(path: &str, advice: &str) -> Finding {
    Finding { path: path.to_string(), line: 0, what: format!("does not exist; {advice}") }
}

/// Files and folders of the crate's `src/`, without their endings; `lib`, which every crate has, left out.
fn modules(tree: &Tree, folder: &str) -> BTreeSet<String> {
    let source = format!("{folder}/src/");
    let inside = tree.files.iter().filter_map(|file| file.path.strip_prefix(&source));
    let names = inside.map(|path| match path.split_once('/') {
        Some((folder, _)) => folder,
        None => path.strip_suffix(".rs").unwrap_or(path),
    });
    names.filter(|name| *name != "lib").map(str::to_string).collect()
}

/// Line and name of everything in backticks in the first column of the tables below `heading`, up to the next heading.
fn table_below(text: &str, heading: usize) -> Vec<(usize, String)> {
    let below = text.lines().enumerate().skip(heading).take_while(|(_, line)| !line.starts_with('#'));
    let rows = below.filter_map(|(at, line)| Some((at + 1, line.strip_prefix('|')?.split('|').next()?)));
    rows.flat_map(|(at, cell)| {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(move |name| (at, name.trim_end_matches('/').to_string()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lines, tree};
    use super::*;

    #[test]
    fn the_map_and_the_files_are_held_together() {
        let map = "# Map\n\n### crates/a\n\n| file | what |\n|---|---|\n| `one`, `two/` | first |\n| `gone` | was |\n\n\
                   ### crates/b\n\nText about `c`.\n";
        let tree = tree(&[
            (MAP, map),
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", ""),
            ("crates/a/src/one.rs", ""),
            ("crates/a/src/two/mod.rs", ""),
            ("crates/a/src/two/deep.rs", ""),
            ("crates/a/src/three.rs", ""),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/src/c.rs", ""),
            ("crates/d/Cargo.toml", ""),
        ]);
        let found = lines(&the_map_names_what_exists(&tree));
        assert_eq!(
            found,
            [
                "ARCHITECTURE.md:3: does not say what crates/a/src/three is; add a row",
                "ARCHITECTURE.md:8: names crates/a/src/gone, which does not exist; mend the row",
                "ARCHITECTURE.md:10: does not say what crates/b/src/c is; add a row",
                "ARCHITECTURE.md:0: has no heading `### crates/d`; add it with a table of its src/",
            ]
        );
    }

    #[test]
    fn a_long_or_absent_or_hidden_front_page_is_found() {
        let (full, over) = ("x\n".repeat(FRONT_PAGE), "x\n".repeat(FRONT_PAGE + 1));
        let tree = tree(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/README.md", &full),
            ("crates/a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/README.md", &over),
            ("crates/b/src/lib.rs", "//! B.\n"),
            ("crates/c/Cargo.toml", ""),
        ]);
        let found = lines(&crates_have_front_pages(&tree));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/b/README.md:61: has 61 lines"), "{found:?}");
        assert!(found[1].starts_with("crates/b/src/lib.rs:1: "), "{found:?}");
        assert!(found[2].starts_with("crates/c/README.md:0: does not exist"), "{found:?}");
    }

    #[test]
    fn a_changelog_without_room_is_found() {
        assert!(the_changelog_has_room(&tree(&[(CHANGELOG, "# Changelog\n\n## [Unreleased]\n")])).is_empty());
        assert_eq!(the_changelog_has_room(&tree(&[(CHANGELOG, "# Changelog\n")])).len(), 1);
        assert_eq!(the_changelog_has_room(&tree(&[])).len(), 1);
    }
}
