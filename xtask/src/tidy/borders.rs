//! Which source file may name what.

use super::code::{code, has_word, without_tests};
use super::{File, Finding, Tree};

/// The tensor library, by any of its crates.
const TENSORS: &str = "candle";
/// What turns plain numbers into a tensor.
const CONSTRUCTORS: [&str; 5] =
    ["Tensor::new", "Tensor::from_vec", "Tensor::from_slice", "Tensor::from_iter", "Tensor::from_raw_buffer"];
const CONVERSION: &str = "crates/star-predict/src/tensors.rs";
/// Where data meets networks.
const ABOVE_DATA: [&str; 3] = ["crates/star-predict/src/", "crates/star-train/src/", "crates/star-cli/src/"];
const NETWORK: [&str; 6] = ["hf_hub", "ureq", "reqwest", "hyper", "object_store", "TcpStream"];
const HUB: &str = "crates/star-model/src/hub.rs";
/// Object storage, which a person asks for by a URL and a feature.
const STORE: &str = "crates/star-predict/src/bulk/store.rs";

/// What asks `star serve`, on the loopback interface.
const CLIENT: &str = "crates/star-cli/tests/common/server.rs";

/// star-data and star-eval do not name candle, in code or in remarks.
pub(super) fn data_and_eval_are_free_of_tensors(tree: &Tree) -> Vec<Finding> {
    let inside = |file: &&File| {
        let source = file.path.ends_with(".rs") || file.path.ends_with("Cargo.toml");
        source
            && ["crates/star-data/", "crates/star-eval/"].iter().any(|folder| file.path.starts_with(folder))
    };
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(inside) {
        for (at, line) in file.text.lines().enumerate() {
            if line.to_lowercase().contains(TENSORS) {
                let what = format!(
                    "names {TENSORS}, which this crate knows nothing of; move tensors to star-predict"
                );
                findings.push(file.finding(at + 1, what));
            }
        }
    }
    findings
}

/// Only `tensors.rs` makes tensors from what star-data hands out.
pub(super) fn one_conversion_into_tensors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = ABOVE_DATA.iter().flat_map(|folder| tree.rust(folder));
    for file in files.filter(|file| file.path != CONVERSION) {
        let code = code(&file.text);
        let code = without_tests(&code);
        if !code.lines().any(|line| has_word(line, "star_data") || has_word(line, "Batch")) {
            continue;
        }
        for (at, line) in code.lines().enumerate() {
            if CONSTRUCTORS.iter().any(|name| has_word(line, name)) {
                let what =
                    format!("makes a tensor in a file that names star-data; {CONVERSION} alone does that");
                findings.push(file.finding(at + 1, what));
            }
        }
    }
    findings
}

/// Only `hub.rs` of star-model, the object storage of star-predict, and one file of tests name a library that reaches the network.
pub(super) fn one_file_reaches_the_network(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let may = |path: &str| [HUB, STORE, CLIENT].contains(&path);
    for file in tree.sources().filter(|file| !may(&file.path)) {
        for (at, line) in code(&file.text).lines().enumerate() {
            if let Some(name) = NETWORK.iter().find(|name| has_word(line, name)) {
                findings.push(
                    file.finding(at + 1, format!("names `{name}`; only {HUB} and {STORE} reach the network")),
                );
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lines, tree};
    use super::*;

    #[test]
    fn a_remark_about_tensors_in_star_data_is_found() {
        let tree = tree(&[
            ("crates/star-data/src/lib.rs", "//! Data.\n// for Candle later\n"),
            ("crates/star-eval/Cargo.toml", "[dependencies]\ncandle-core.workspace = true\n"),
            ("crates/star-data/README.md", "no candle here\n"),
            ("crates/star-loss/src/lib.rs", "use candle_core::Tensor;\n"),
        ]);
        let found = lines(&data_and_eval_are_free_of_tensors(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/star-data/src/lib.rs:2: names candle"), "{found:?}");
        assert!(found[1].starts_with("crates/star-eval/Cargo.toml:2: "), "{found:?}");
    }

    #[test]
    fn a_second_conversion_into_tensors_is_found() {
        let second =
            "use star_data::loader::Batch;\nfn f(b: &Batch) { Tensor::from_vec(b.points.clone(), 1, &d); }\n";
        let by_tests =
            "use star_data::Scheme;\n#[cfg(test)]\nmod tests { fn f() { Tensor::new(1f32, &d); } }\n";
        let no_data = "fn norm() -> BatchNorm { Tensor::from_vec(x, 1, &d) }\n";
        let tree = tree(&[
            (CONVERSION, second),
            ("crates/star-cli/src/predict.rs", second),
            ("crates/star-cli/src/a.rs", by_tests),
            ("crates/star-cli/src/b.rs", no_data),
        ]);
        let found = lines(&one_conversion_into_tensors(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/star-cli/src/predict.rs:2: "), "{found:?}");
    }

    #[test]
    fn the_network_is_found_in_code_and_not_in_strings() {
        let tree = tree(&[
            ("crates/star-cli/src/a.rs", "use ureq::get;\n"),
            ("crates/star-cli/src/b.rs", "let s = \"ureq\"; // hf_hub\n"),
            (HUB, "use hf_hub::api;\n"),
        ]);
        let found = lines(&one_file_reaches_the_network(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/star-cli/src/a.rs:1: names `ureq`"), "{found:?}");
    }
}
