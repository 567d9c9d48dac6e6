//! What no source file may hold, and how each begins and ends.

use super::code::code;
use super::{Finding, Tree};

/// Lines of a file past which it holds more than one idea.
const LONGEST: usize = 600;
// In two halves, so that a plain search for them finds no false alarm here.
const MACROS: [&str; 3] = [concat!("to", "do"), concat!("unimple", "mented"), concat!("d", "bg")];
const ATTRIBUTES: [&str; 2] = [concat!("ig", "nore"), concat!("should", "_panic")];
/// First folders of absolute paths that exist on one machine only.
const MACHINE: [&str; 4] = ["home", "root", "work", "Users"];

/// No test is switched off or passes by failing, no code is unwritten, no debugging aid is left.
pub(super) fn nothing_is_left_undone(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.sources() {
        for (at, (line, text)) in code(&file.text).lines().zip(file.text.lines()).enumerate() {
            if let Some(name) = MACROS.iter().find(|name| calls(line, name)) {
                findings.push(file.finding(at + 1, format!("calls `{name}!`; write what belongs there")));
            }
            if let Some(name) =
                ATTRIBUTES.iter().find(|name| is_attribute(line, name) || is_fence(text, name))
            {
                let what = format!("says `{name}`; a test runs, and asserts on the error it expects");
                findings.push(file.finding(at + 1, what));
            }
        }
    }
    findings
}

/// No source file is longer than [`LONGEST`].
pub(super) fn files_hold_one_idea(tree: &Tree) -> Vec<Finding> {
    let long =
        tree.rust("").map(|file| (file, file.text.lines().count())).filter(|(_, lines)| *lines > LONGEST);
    long.map(|(file, lines)| {
        file.finding(
            lines,
            format!("has {lines} lines, at most {LONGEST} are allowed; split it along its ideas"),
        )
    })
    .collect()
}

/// Every source file says on its first line what it is.
pub(super) fn files_begin_with_a_sentence(tree: &Tree) -> Vec<Finding> {
    let source = tree.sources().filter(|file| file.path.contains("/src/"));
    let silent = source.filter(|file| {
        let first = file.text.lines().next().unwrap_or_default();
        let said = first.strip_prefix("//! ").is_some_and(|sentence| sentence.split_whitespace().count() > 1);
        !said && !first.starts_with("#![doc = include_str!(")
    });
    silent.map(|file| file.finding(1, "does not say what it is; begin it with a `//!` sentence")).collect()
}

/// No text names a folder of somebody's machine.
pub(super) fn no_path_of_a_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            if names_a_machine(line) {
                findings.push(
                    file.finding(at + 1, "names a path of one machine; make it relative, or an argument"),
                );
            }
        }
    }
    findings
}

fn calls(line: &str, name: &str) -> bool {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(&format!("{name}!")).any(|(at, _)| !line[..at].ends_with(of_a_word))
}

fn is_attribute(line: &str, name: &str) -> bool {
    line.split("#[").skip(1).any(|rest| {
        let attribute = rest.split(']').next().unwrap_or_default();
        let mut words = attribute.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.any(|word| word == name)
    })
}

/// Whether the line opens an example in documentation that is not run as a test.
fn is_fence(line: &str, name: &str) -> bool {
    let documentation =
        line.trim_start().strip_prefix("//!").or_else(|| line.trim_start().strip_prefix("///"));
    let words = documentation.and_then(|text| text.trim_start().strip_prefix("```"));
    words.is_some_and(|words| words.split(',').any(|word| word.trim() == name))
}

fn names_a_machine(line: &str) -> bool {
    let of_a_path = |c: char| c.is_alphanumeric() || "_.~/-$}".contains(c);
    let unix = MACHINE.iter().any(|folder| {
        let start = format!("/{folder}/");
        line.match_indices(&start).any(|(at, _)| !line[..at].ends_with(of_a_path))
    });
    let windows = line.match_indices(":\\").any(|(at, _)| {
        line[at + 2..].trim_start_matches('\\').starts_with("Users")
            && line[..at].ends_with(char::is_alphabetic)
    });
    unix || windows
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lines, tree};
    use super::*;

    #[test]
    fn unwritten_code_is_found_and_speech_about_it_is_not() {
        for name in MACROS {
            let text =
                format!("fn f() {{\n    {name}!(\"later\")\n}}\n// {name}!\nconst S: &str = \"{name}!\";\n");
            let found = lines(&nothing_is_left_undone(&tree(&[("crates/a/src/b.rs", &text)])));
            assert_eq!(found, [format!("crates/a/src/b.rs:2: calls `{name}!`; write what belongs there")]);
            let longer = format!("my_{name}!();");
            assert!(nothing_is_left_undone(&tree(&[("crates/a/src/b.rs", &longer)])).is_empty());
        }
    }

    #[test]
    fn tests_that_do_not_run_are_found() {
        for name in ATTRIBUTES {
            for line in
                [format!("#[{name}]"), format!("#[{name} = \"slow\"]"), format!("#[cfg_attr(x, {name})]")]
            {
                assert_eq!(nothing_is_left_undone(&tree(&[("xtask/src/b.rs", &line)])).len(), 1, "{line}");
            }
            let fence = format!("/// ```rust,{name}\n/// a();\n/// ```\n");
            assert_eq!(nothing_is_left_undone(&tree(&[("crates/a/src/b.rs", &fence)])).len(), 1, "{fence}");
            let plain = format!("fn {name}() {{ x[{name}] }}");
            assert!(nothing_is_left_undone(&tree(&[("crates/a/src/b.rs", &plain)])).is_empty(), "{plain}");
        }
    }

    #[test]
    fn a_file_may_have_600_lines_and_no_more() {
        let (full, over) = ("\n".repeat(LONGEST), "\n".repeat(LONGEST + 1));
        let found =
            lines(&files_hold_one_idea(&tree(&[("crates/a/src/a.rs", &full), ("xtask/src/b.rs", &over)])));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("xtask/src/b.rs:601: has 601 lines"), "{found:?}");
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
            ("crates/a/src/b.rs", "//! What b is.\n"),
            ("crates/a/src/c.rs", "use a::b;\n//! Late.\n"),
            ("crates/a/src/d.rs", "//!\n"),
            ("crates/a/tests/e.rs", "use a::b;\n"),
        ]);
        let found = lines(&files_begin_with_a_sentence(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn paths_of_a_machine_are_found_and_others_are_not() {
        for folder in MACHINE {
            for line in [format!("see \"/{folder}/me/x\""), format!("/{folder}/x"), format!("a=/{folder}/x")]
            {
                assert!(names_a_machine(&line), "{line}");
            }
            for line in
                [format!("https://x.org/{folder}/"), format!("~/{folder}/x"), format!("../{folder}/x")]
            {
                assert!(!names_a_machine(&line), "{line}");
            }
        }
        assert!(
            names_a_machine(concat!("C:", "\\Users\\me"))
                && names_a_machine(concat!("C:", "\\\\Users\\\\me"))
        );
        assert!(!names_a_machine("a:\\d"));
    }
}
