//! `public-api.txt` lists everything a user can name; a change of the interface is a change of that file.
//!
//! To accept one: `STAR_LOSS_ACCEPT_API=1 cargo test -p star-loss --test public_api`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use candle_core::{Result, Tensor};
use star_loss::{Reduction, StarLoss, StarLossConfig, StarTerms};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Public items of one file: signatures up to their body, enums and traits whole, each on one line.
fn items(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines: Vec<&str> = code.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    let (mut items, mut i, mut owner) = (Vec::new(), 0, String::new());
    while i < lines.len() {
        let line = lines[i];
        if line.starts_with("impl") {
            owner = line.trim_end_matches(" {").to_string();
        }
        if line.starts_with('}') {
            owner.clear();
        }
        let start = line.trim_start();
        let public = start.starts_with("pub ") && !start.starts_with("pub mod");
        if public || start.starts_with("pub mod") {
            let whole = start.starts_with("pub enum") || start.starts_with("pub trait");
            let mut item = Vec::new();
            loop {
                let part = lines[i].trim();
                item.push(part.to_string());
                let ended = part.ends_with('{')
                    || part.ends_with(';')
                    || part.ends_with(',') && item.len() == 1
                    || part.ends_with('}');
                if (whole && lines[i] == "}") || (!whole && ended) {
                    break;
                }
                i += 1;
            }
            let item = item.join(" ").replace(" {", if whole { " {" } else { "" });
            items.push(if owner.is_empty() { item } else { format!("{owner} :: {item}") });
        }
        i += 1;
    }
    items
}

#[test]
fn the_public_interface_is_the_listed_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    let mut listing = String::new();
    for file in files {
        let items = items(&std::fs::read_to_string(&file).unwrap());
        if !items.is_empty() {
            let name = file.strip_prefix(root).unwrap().display().to_string().replace('\\', "/");
            listing.push_str(&format!("# {name}\n{}\n", items.join("\n")));
        }
    }
    let path = root.join("public-api.txt");
    if std::env::var_os("STAR_LOSS_ACCEPT_API").is_some() {
        let temporary = root.join("public-api.txt.part");
        std::fs::write(&temporary, &listing).unwrap();
        std::fs::rename(temporary, &path).unwrap();
    }
    let listed = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    for (ours, theirs) in listing.lines().zip(listed.lines()) {
        assert_eq!(ours, theirs, "not as in public-api.txt; see the head of this test");
    }
    assert_eq!(
        listing.lines().count(),
        listed.lines().count(),
        "not as in public-api.txt; see the head of this test"
    );
}

#[test]
fn the_central_signatures_hold() {
    let _: fn(&Tensor, &Tensor) -> Result<Tensor> = star_loss::star;
    let _: fn(StarLossConfig) -> Result<StarLoss> = StarLoss::new;
    let _: fn(&StarLoss, &Tensor, &Tensor) -> Result<StarTerms> = StarLoss::forward;
    let _: fn(&StarTerms, Option<&Tensor>, Reduction) -> Result<Tensor> = StarTerms::reduce;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::soft_argmax;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::covariance;
    let _: fn(&Tensor, &Tensor, &star_loss::AwingConfig) -> Result<Tensor> = star_loss::awing;
}
