//! What the members' `Cargo.toml` may say.

use toml::{Table, Value};

use super::{File, Finding, Tree};

/// Each crate with the crates of ours it may depend on. star-loss may not even for its tests.
const ARROWS: [(&str, &[&str]); 8] = [
    ("star-loss", &[]),
    ("star-model", &[]),
    ("star-data", &[]),
    ("star-eval", &[]),
    ("star-predict", &["star-loss", "star-model", "star-data", "star-eval"]),
    ("star-train", &["star-loss", "star-model", "star-data", "star-eval", "star-predict"]),
    ("star-py", &["star-model", "star-data", "star-eval", "star-predict"]),
    ("star-cli", &["star-loss", "star-model", "star-data", "star-eval", "star-predict", "star-train"]),
];
/// What only programs talk to people with.
const OF_PROGRAMS: [&str; 2] = ["clap", "indicatif"];
/// The members outside of `crates/`: programs, on which nothing depends.
const PROGRAMS: [&str; 2] = ["reproduce", "xtask"];
const SHARED: [&str; 6] = ["version", "edition", "rust-version", "license", "repository", "keywords"];

/// The crates depend on each other as the arrows of ARCHITECTURE.md say.
pub(super) fn arrows_point_one_way(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tree.crates() {
        let Some(file) = tree.file(&format!("crates/{name}/Cargo.toml")) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            findings.push(
                file.finding(
                    0,
                    "is a crate without a place; add it to ARROWS in xtask/src/tidy/manifests.rs",
                ),
            );
            continue;
        };
        for (kind, dependency, _) in dependencies(&table(file)) {
            let ours = ARROWS.iter().any(|(known, _)| *known == dependency)
                || PROGRAMS.contains(&dependency.as_str());
            let exempt = kind == "dev-dependencies" && name != "star-loss";
            if ours && !exempt && !allowed.contains(&dependency.as_str()) {
                let what = format!("{name} may not depend on {dependency}; ARCHITECTURE.md draws the arrows");
                findings.push(file.finding(file.line_of(&dependency), what));
            }
        }
    }
    findings
}

/// No library reads a command line or draws a progress bar.
pub(super) fn libraries_leave_the_terminal_to_programs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tree.crates().filter(|name| *name != "star-cli") {
        let Some(file) = tree.file(&format!("crates/{name}/Cargo.toml")) else { continue };
        for (_, dependency, _) in dependencies(&table(file)) {
            if OF_PROGRAMS.contains(&dependency.as_str()) {
                let what = format!(
                    "is a library and names {dependency}; report through a callback, star-cli prints"
                );
                findings.push(file.finding(file.line_of(&dependency), what));
            }
        }
    }
    findings
}

/// Members take versions of dependencies, and what else is shared, from the root.
pub(super) fn versions_stand_in_the_root(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in members(tree) {
        let table = table(file);
        for (_, dependency, value) in dependencies(&table) {
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                let what = format!(
                    "gives `{dependency}` a version; say `{dependency}.workspace = true`, and the version in the root"
                );
                findings.push(file.finding(file.line_of(&dependency), what));
            }
        }
        let package = table.get("package").and_then(Value::as_table);
        for (field, value) in
            package.into_iter().flatten().filter(|(field, _)| SHARED.contains(&field.as_str()))
        {
            if value.get("workspace").is_none() {
                let what = format!("sets `{field}`; say `{field}.workspace = true`");
                findings.push(file.finding(file.line_of(field), what));
            }
        }
    }
    findings
}

/// Members are linted as the root says.
pub(super) fn lints_are_the_workspaces(tree: &Tree) -> Vec<Finding> {
    let lints = |file: &&File| table(file).get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
    let bare = members(tree).filter(|file| lints(file) != Some(true));
    bare.map(|file| file.finding(0, "is not linted; add `[lints]` with `workspace = true`")).collect()
}

fn members(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| {
        let inner = file.path.strip_suffix("/Cargo.toml");
        inner.is_some_and(|folder| {
            PROGRAMS.contains(&folder) || (folder.starts_with("crates/") && folder.matches('/').count() == 1)
        })
    })
}

/// The manifest; empty where it is no TOML, of which cargo speaks first.
fn table(file: &File) -> Table {
    file.text.parse().unwrap_or_default()
}

/// Kind, name and value of every dependency, those of single targets included.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let dependencies = table.get(kind).and_then(Value::as_table).into_iter().flatten();
            found.extend(dependencies.map(|(name, value)| (kind, package(name, value), value.clone())));
        }
    }
    found
}

/// The dependency's own name where the manifest gives it another.
fn package(name: &str, value: &Value) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lines, tree};
    use super::*;

    #[test]
    fn an_arrow_the_wrong_way_is_found() {
        let tree = tree(&[
            ("crates/star-loss/Cargo.toml", "[dev-dependencies]\nstar-eval.workspace = true\n"),
            ("crates/star-model/Cargo.toml", "[dependencies]\nstar-loss.workspace = true\n"),
            ("crates/star-data/Cargo.toml", "[dev-dependencies]\nstar-eval.workspace = true\n"),
            (
                "crates/star-eval/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\nd = { package = \"star-data\" }\n",
            ),
            ("crates/star-cli/Cargo.toml", "[dependencies]\nstar-loss.workspace = true\n"),
        ]);
        let found = lines(&arrows_point_one_way(&tree));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/star-loss/Cargo.toml:2: star-loss may not depend on star-eval"));
        assert!(
            found[1].starts_with("crates/star-model/Cargo.toml:2: star-model may not depend on star-loss")
        );
        assert!(found[2].starts_with("crates/star-eval/Cargo.toml:2: star-eval may not depend on star-data"));
    }

    #[test]
    fn prediction_that_trains_is_found_and_training_that_predicts_is_not() {
        let tree = tree(&[
            ("crates/star-predict/Cargo.toml", "[dependencies]\nstar-train.workspace = true\n"),
            ("crates/star-train/Cargo.toml", "[dependencies]\nstar-predict.workspace = true\n"),
            ("crates/star-cli/Cargo.toml", "[dependencies]\nreproduce.workspace = true\n"),
        ]);
        let found = lines(&arrows_point_one_way(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/star-predict/Cargo.toml:2: "), "{found:?}");
        assert!(found[1].ends_with("ARCHITECTURE.md draws the arrows") && found[1].contains("reproduce"));
    }

    #[test]
    fn a_library_with_a_command_line_or_a_progress_bar_is_found() {
        let tree = tree(&[
            ("crates/star-train/Cargo.toml", "[dependencies]\nclap.workspace = true\n"),
            ("crates/star-data/Cargo.toml", "[dev-dependencies]\nbar = { package = \"indicatif\" }\n"),
            (
                "crates/star-cli/Cargo.toml",
                "[dependencies]\nclap.workspace = true\nindicatif.workspace = true\n",
            ),
        ]);
        let found = lines(&libraries_leave_the_terminal_to_programs(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("crates/star-train/Cargo.toml:2: is a library and names clap"),
            "{found:?}"
        );
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        let tree = tree(&[("crates/star-new/Cargo.toml", "")]);
        assert_eq!(arrows_point_one_way(&tree).len(), 1);
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        let manifest = "[package]\nname = \"x\"\nversion = \"1.0.0\"\nedition.workspace = true\n[dependencies]\n\
                        rand = \"0.9\"\nserde.workspace = true\ntoml = { workspace = true, features = [] }\n\
                        [build-dependencies]\ncc = { version = \"1\" }\n";
        let tree =
            tree(&[("crates/x/Cargo.toml", manifest), ("Cargo.toml", "[dependencies]\nrand = \"0.9\"\n")]);
        let found = lines(&versions_stand_in_the_root(&tree));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/x/Cargo.toml:6: gives `rand`"), "{found:?}");
        assert!(found[1].starts_with("crates/x/Cargo.toml:10: gives `cc`"), "{found:?}");
        assert!(found[2].starts_with("crates/x/Cargo.toml:3: sets `version`"), "{found:?}");
    }

    #[test]
    fn a_member_without_lints_is_found() {
        let tree = tree(&[("crates/x/Cargo.toml", "[lints]\nworkspace = true\n"), ("xtask/Cargo.toml", "")]);
        let found = lines(&lints_are_the_workspaces(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("xtask/Cargo.toml:0: "), "{found:?}");
    }
}
