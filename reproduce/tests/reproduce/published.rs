//! From weights.

use std::path::Path;

use serde_json::Value;
use star_data::crop::CropRule;
use star_data::formats::tsv;
use star_data::scheme_map::{Detail, SchemeMap};
use star_data::{Annotation, Scheme};

use super::sets::{WFLW_TEST, faces, network, save, sets, write};
use super::standin::StandIn;
use super::{NOWHERE, filled_or_explained, path, report, reproduce, text};

/// The repository and commit of the published weights.
const REPO: &str = "nutPace/openface_weights";
const COMMIT: &str = "3844412b54706ed0a930b99589508ed3c101f39e";

#[test]
fn published_weights_fill_every_cell_or_say_why_not_and_a_miss_is_an_exit_code() {
    let dir = sets();
    let server = StandIn::start();
    server.put(REPO, "main", COMMIT, "Landmark_98.pkl", &network("wflw98", dir.path()));
    server.put(REPO, "main", COMMIT, "Landmark_68.pkl", &network("ibug68", dir.path()));
    let (data, out) = (path(dir.path().join("data")), path(dir.path().join("out")));
    let arguments = ["--profile", "all", "--data", &data, "--out", &out, "--compat", "reference"];
    let output = reproduce(dir.path(), &server.endpoint, &arguments);
    let (printed, wrong) = (text(&output.stdout), text(&output.stderr));
    // Weights that were never trained miss.
    assert_eq!(output.status.code(), Some(1), "{printed}\n{wrong}");
    assert!(wrong.contains("checked cells miss their target"), "{wrong}");

    let report_of = || report(&dir.path().join("out"));
    let report = report_of();
    for cell in filled_or_explained(&report, &["WFLW", "300W", "COFW", "300VW"]) {
        if cell["set"] == "COFW" {
            assert!(cell["remark"].as_str().unwrap().contains("no published weights"), "{cell}");
        }
    }
    // Third parties measured the published weights; six faces are not 688.
    assert!(
        printed.contains("2.8704") && printed.contains("6 faces scored, the figure is of 688"),
        "{printed}"
    );
    let markdown = std::fs::read_to_string(dir.path().join("out/report/report.md")).unwrap();
    let html = std::fs::read_to_string(dir.path().join("out/report/index.html")).unwrap();
    for part in [
        "compat reference",
        "not available",
        "ADNet 2021",
        "D-ViT 2025",
        "WFLW: the paper's kinds of figures",
        "COFW: the paper's kinds of figures",
        "300VW: the paper's kinds of figures",
        "category1",
        "(kind 1)",
        "(kind 2)",
        "(kind 3)",
        "(kind 4)",
        "(kind 5)",
        "Cumulative error",
        "Size of the paper's network",
        "inter-pupil",
        "NMJ",
    ] {
        assert!(markdown.contains(part) && html.contains(part), "{part}:\n{markdown}");
    }
    for stage in ["check", "fetch", "train", "eval", "table"] {
        let text = std::fs::read_to_string(dir.path().join(format!("out/{stage}/run.json"))).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["state"], "finished", "{stage}");
        assert!(record["versions"]["commit"].is_string() && record["machine"]["cores"].is_number());
    }
    let fetched: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("out/fetch/run.json")).unwrap()).unwrap();
    assert_eq!(fetched["hashes"]["weights for WFLW"].as_str().unwrap().len(), 64);

    // Faces that have changed are scored again, the others are not.
    let list = dir.path().join("data/WFLW").join(WFLW_TEST);
    let rows = std::fs::read_to_string(&list).unwrap();
    write(&list, rows.lines().skip(1).map(|row| format!("{row}\n")).collect::<String>());
    let mut again = arguments.to_vec();
    again.push("--resume");
    let printed = text(&reproduce(dir.path(), NOWHERE, &again).stdout);
    assert!(printed.contains("WFLW, star, seed 0: scoring") && !printed.contains("300W, star"), "{printed}");
    assert_ne!(report, report_of());
    write(&list, rows);
    reproduce(dir.path(), NOWHERE, &again);
    assert_eq!(report, report_of());

    // The table from what is there: no network, no data, the same numbers.
    std::fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    again.extend(["--skip", "check", "--skip", "fetch", "--skip", "train", "--skip", "eval"]);
    let output = reproduce(dir.path(), NOWHERE, &again);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(report, report_of());
}

#[test]
fn weights_of_ones_own_and_the_published_rows_are_scored_and_held_to_the_figures_that_they_are_of() {
    let dir = sets();
    network("cofw29", dir.path());
    network("ibug68", dir.path());
    let data = path(dir.path().join("data"));
    let run = |profile: &str, weights: &str| {
        let (out, weights) = (path(dir.path().join(profile)), path(dir.path().join(weights)));
        let mut arguments = vec!["--profile", profile, "--data", &data, "--out", &out, "--weights", &weights];
        arguments.extend(["--compat", "reference"]);
        let output = reproduce(dir.path(), NOWHERE, &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        (report(Path::new(&out)), text(&output.stdout))
    };
    let (report, printed) = run("cofw", "cofw29.safetensors");
    assert!(printed.contains("Weights as given by --weights"), "{printed}");
    let own = |cell: &&Value| cell["ours"].is_number() && cell["verdict"] == "missed";
    assert!(report["cells"].as_array().unwrap().iter().filter(own).count() >= 2, "{report}");

    // The published list of 300W loses its first row; what it does not tell, the subsets, is said.
    let root = dir.path().join("data/300W");
    let mut rows = String::new();
    for (i, face) in faces(4, 50).iter().enumerate() {
        let name = format!("images/{i}.png");
        save(&root.join(&name), face);
        let points = SchemeMap::wflw_to_300w(Detail::Pick).unwrap().points(&face.points);
        let row = Annotation {
            file: root.join("test.tsv").as_path().into(),
            line: i + 1,
            image: name.into(),
            points,
            visibility: None,
            stated: None,
            face: face.face,
            tags: Vec::new(),
        };
        let scheme = Scheme::named("ibug68").unwrap();
        rows += &tsv::format_annotation(&row, &scheme, CropRule::LandmarkTight).unwrap();
        rows += "\n";
    }
    write(&root.join("test.tsv"), rows);
    let (report, printed) = run("300w", "ibug68.safetensors");
    assert!(printed.contains("300W test: 3 faces"), "{printed}");
    let remark = |subset: &str| {
        let cells = report["cells"].as_array().unwrap().iter();
        cells
            .filter(|cell| cell["subset"] == subset)
            .map(|cell| cell["remark"].as_str().unwrap())
            .next()
            .unwrap()
    };
    assert_eq!(remark("full"), "3 faces scored, the figure is of 688");
    assert!(remark("common").contains("do not tell the subset"), "{}", remark("common"));
}
