//! From scratch, for a few steps.

use std::path::Path;

use serde_json::Value;

use super::sets::{sets, wflw, write};
use super::{NOWHERE, filled_or_explained, path, report, reproduce, text};

/// What makes a training a matter of seconds.
const TINY: &str = "epochs = 1\nbatch_size = 2\naccumulate = 1\nworkers = 1\n[data]\nholdout = 0.3\n[model]\nstacks = 1\nlevels = 1\n\
                    channels = 8\nimage_size = 32\n";

#[test]
fn trainings_from_scratch_run_on_every_set_and_say_that_they_are_not_the_recipe() {
    let dir = sets();
    write(&dir.path().join("tiny.toml"), TINY);
    let (data, out) = (path(dir.path().join("data")), path(dir.path().join("out")));
    let tiny = path(dir.path().join("tiny.toml"));
    // COFW's two training faces: one to hold out, one to train on.
    write(
        &dir.path().join("cofw.toml"),
        TINY.replace("batch_size = 2", "batch_size = 1").replace("0.3", "0.5"),
    );
    let one = path(dir.path().join("cofw.toml"));
    for (profile, name, steps) in
        [("wflw", "WFLW", 2), ("300w", "300W", 2), ("300vw", "300VW", 1), ("cofw", "COFW", 1)]
    {
        let tiny = if profile == "cofw" { &one } else { &tiny };
        let out = format!("{out}/{profile}");
        let mut arguments = vec!["--profile", profile, "--data", &data, "--out", &out, "--from", "scratch"];
        arguments.extend(["--seeds", "2", "--override", tiny]);
        let output = reproduce(dir.path(), NOWHERE, &arguments);
        let (printed, wrong) = (text(&output.stdout), text(&output.stderr));
        // What misses a target is an exit code; 300VW has no target.
        let expected = if profile == "300vw" { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{printed}\n{wrong}");
        for part in ["not the published recipe", "epochs = 1", "training faces that were held out", name] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
        // Two seeds disagree, and so have a spread.
        assert!(printed.contains("over 2 trainings"), "{printed}");
        let report = report(Path::new(&out));
        filled_or_explained(&report, &[name]);
        // Positions stay with the scores.
        assert!(!report.to_string().contains("predicted"));
        let log = Path::new(&out).join(format!("train/{profile}-star-1/metrics.jsonl"));
        let last = std::fs::read_to_string(log).unwrap();
        assert!(last.contains("\"kind\":\"epoch\"") && last.contains(&format!("\"step\":{steps}")), "{last}");
    }
}

#[test]
fn ablations_train_every_loss_backbone_and_number_of_stacks_and_other_faces_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    wflw(&dir.path().join("data/WFLW"));
    write(&dir.path().join("tiny.toml"), TINY);
    let (data, out, tiny) =
        (path(dir.path().join("data")), path(dir.path().join("out")), path(dir.path().join("tiny.toml")));
    let mut arguments = vec!["--profile", "wflw", "--data", &data, "--out", &out, "--from", "scratch"];
    arguments.extend(["--ablations", "--override", &tiny]);
    let output = reproduce(dir.path(), NOWHERE, &arguments);
    let (printed, wrong) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{printed}\n{wrong}");
    assert!(wrong.contains("checked cells miss their target"), "{wrong}");
    let table = printed.split("## Ablations").nth(1).unwrap();
    assert!(!table.contains("not trained"), "{table}");
    for row in [
        "ADL, Wing",
        "STAR whitened, L2",
        "STAR (smooth-L1), detached",
        "STAR (smooth-L1), without attention",
        "STAR (smooth-L1), HRNet",
        "STAR (smooth-L1), 2 stacks",
    ] {
        let line = table.lines().find(|line| line.starts_with(&format!("| {row} | ")));
        let line = line.unwrap_or_else(|| panic!("{row}: {table}"));
        // A figure, and the difference to plain regression with the same change.
        let cell = line.rsplit('|').nth(1).unwrap().trim();
        assert!(cell.split(' ').next().unwrap().parse::<f64>().is_ok() && cell.contains('['), "{line}");
    }
    let report = report(Path::new(&out));
    let network = |slug: &str| report["sets"][0]["runs"][slug][0]["network"].as_str().unwrap().to_string();
    assert!(network("star").starts_with("stacked hourglass, 1 stack"), "{}", network("star"));
    assert!(network("star-stacks-2").starts_with("stacked hourglass, 2 stacks"));
    assert!(network("plain-hrnet").starts_with("HRNet-W18"));
    // The cell without the attention branch has a target, and is measured here.
    let variant = |cell: &&Value| cell["what"].as_str().unwrap().contains("(star-no-attention)");
    let cell = filled_or_explained(&report, &["WFLW"]).iter().find(variant).unwrap();
    assert!(cell["ours"].is_number() && cell["verdict"] == "missed", "{cell}");

    // The list loses a face: what was trained on it is not what would be trained now.
    let list = dir
        .path()
        .join("data/WFLW/WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt");
    let rows = std::fs::read_to_string(&list).unwrap();
    write(&list, rows.lines().skip(1).map(|row| format!("{row}\n")).collect::<String>());
    arguments.push("--resume");
    let output = reproduce(dir.path(), NOWHERE, &arguments);
    let wrong = text(&output.stderr);
    assert!(!output.status.success() && wrong.contains("trained on other data"), "{wrong}");

    // What a training is named by is not for overriding.
    write(&dir.path().join("tiny.toml"), "[loss]\nkind = 'adl'\n");
    let wrong = text(&reproduce(dir.path(), NOWHERE, &arguments).stderr);
    assert!(wrong.contains("loss.kind") && wrong.contains("--ablations"), "{wrong}");
}
