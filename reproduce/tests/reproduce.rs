//! `cargo xtask reproduce-paper` on photographs' official layouts, made small of drawn faces: from weights of a stand-in for the Hub,
//! and from scratch for a few steps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../../crates/star-model/tests/standin/mod.rs"]
mod standin;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use standin::StandIn;
use star_data::crop::CropRule;
use star_data::formats::{pts, tsv};
use star_data::scheme_map::{Detail, SchemeMap};
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Annotation, Dataset, Sample, Scheme};
use star_model::checkpoint::{Architecture, save_safetensors};
use star_model::{Parameters, StackedHourglassConfig};

/// The repository and commit of the published weights.
const REPO: &str = "nutPace/openface_weights";
const COMMIT: &str = "3844412b54706ed0a930b99589508ed3c101f39e";

fn faces(count: usize, seed: u64) -> Vec<Sample> {
    let config = SyntheticConfig { count, seed, image_size: 64, ..Default::default() };
    let set = SyntheticFaces::new(config).unwrap();
    (0..count).map(|i| set.get(i).unwrap()).collect()
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn picture(path: &Path, face: &Sample) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    face.image.save(path).unwrap();
}

/// The list of WFLW's test faces.
const WFLW_TEST: &str = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt";

/// WFLW as it is unpacked: every test face has one of the six attributes.
fn wflw(root: &Path) {
    for (split, count, seed) in [("train", 6, 1), ("test", 6, 2)] {
        let mut lines = String::new();
        for (i, face) in faces(count, seed).iter().enumerate() {
            let name = format!("{i}--Parade/{split}_{i}.png");
            picture(&root.join("WFLW_images").join(&name), face);
            let points: Vec<String> = face.points.iter().flatten().map(|v| format!("{v:.4}")).collect();
            let flags: Vec<String> = (0..6).map(|flag| u8::from(flag == i).to_string()).collect();
            lines += &format!("{} 3 3 60 60 {} {name}\n", points.join(" "), flags.join(" "));
        }
        write(&root.join(WFLW_TEST.replace("test.txt", &format!("{split}.txt"))), lines);
    }
}

/// A face of 68 points beside its picture, 1-based as iBUG's are.
fn face68(annotation: &Path, image: &Path, face: &Sample) {
    let map = SchemeMap::wflw_to_300w(Detail::Pick).unwrap();
    write(annotation, pts::format(&map.points(&face.points)));
    picture(image, face);
}

fn face300w(root: &Path) {
    let parts = ["afw", "helen/trainset", "lfpw/trainset", "helen/testset", "lfpw/testset", "ibug"];
    for (seed, part) in parts.iter().enumerate() {
        for (i, face) in faces(2, 10 + seed as u64).iter().enumerate() {
            let file = root.join(part).join(format!("face_{i}"));
            face68(&file.with_extension("pts"), &file.with_extension("png"), face);
        }
    }
}

fn face300vw(root: &Path) {
    // Two videos to train on and hold out, one of each category.
    for (seed, video) in ["001", "002", "114", "203", "562"].iter().enumerate() {
        for (i, face) in faces(3, 20 + seed as u64).iter().enumerate() {
            let name = format!("{:06}", i + 1);
            let root = root.join(video);
            face68(&root.join(format!("annot/{name}.pts")), &root.join(format!("frames/{name}.png")), face);
        }
    }
}

fn cofw(root: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/star-data/tests/fixtures/cofw");
    std::fs::create_dir_all(root).unwrap();
    for name in ["COFW_train_color.mat", "COFW_test_color.mat"] {
        std::fs::copy(fixtures.join(name), root.join(name)).unwrap();
    }
}

/// All four sets, with a folder for results.
fn sets() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    wflw(&dir.path().join("data/WFLW"));
    face300w(&dir.path().join("data/300W"));
    cofw(&dir.path().join("data/COFW"));
    face300vw(&dir.path().join("data/300VW"));
    dir
}

/// A small hourglass for a scheme, as a file.
fn network(scheme: &str, dir: &Path) -> Vec<u8> {
    let scheme = Scheme::named(scheme).unwrap();
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 2,
        channels: 8,
        image_size: 256,
        ..StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points())
    };
    let parameters = Parameters::new(7);
    Architecture::StackedHourglass(config).build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    // Published files hold which keypoint lies on which edge, as a fixed convolution.
    let (k, edges) = (scheme.keypoints, scheme.edge_points());
    let on = |point: usize, edge: &Vec<usize>| if edge.contains(&point) { 1.0f32 } else { 0.0 };
    let matrix: Vec<f32> = (0..k).flat_map(|point| edges.iter().map(move |edge| on(point, edge))).collect();
    let bias: Vec<f32> =
        (0..k).map(|point| f32::from(edges.iter().all(|edge| !edge.contains(&point)))).collect();
    let mut tensors = parameters.tensors();
    let matrix = Tensor::from_vec(matrix, (k, edges.len(), 1, 1), &Device::Cpu).unwrap();
    tensors.insert("e2h_transform.weight".into(), matrix);
    tensors.insert("e2h_transform.bias".into(), Tensor::from_vec(bias, k, &Device::Cpu).unwrap());
    let path = dir.join(format!("{}.safetensors", scheme.name));
    save_safetensors(&tensors, &path).unwrap();
    std::fs::read(path).unwrap()
}

fn reproduce(dir: &Path, hub: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reproduce"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command.env("HF_HOME", dir.join("home")).env("HF_ENDPOINT", hub).env("NO_PROXY", "127.0.0.1");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// The cells of a report, each with ours or why not, and of every set those of every kind.
fn filled_or_explained<'a>(report: &'a Value, sets: &[&str]) -> &'a [Value] {
    let cells = report["cells"].as_array().unwrap();
    for cell in cells {
        let explained = cell["remark"].as_str().is_some_and(|why| !why.is_empty());
        assert!(cell["ours"].is_number() || explained, "neither filled nor explained: {cell}");
        assert_eq!(cell["paper"].is_null(), cell["verdict"] == "no_target", "{cell}");
        assert!(sets.iter().any(|set| cell["set"] == *set), "{cell}");
    }
    for (set, what) in sets.iter().flat_map(|set| ["NME", "FR", "AUC"].map(|what| (set, what))) {
        let is = |cell: &Value| cell["set"] == *set && cell["what"].as_str().unwrap().starts_with(what);
        assert!(cells.iter().any(is), "{set}: {what}");
    }
    cells
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("report/report.json")).unwrap()).unwrap()
}

/// Where nothing listens: whatever asks for the network fails.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn published_weights_fill_every_cell_or_say_why_not_and_a_miss_is_an_exit_code() {
    let dir = sets();
    let server = StandIn::start();
    server.put(REPO, "main", COMMIT, "Landmark_98.pkl", &network("wflw98", dir.path()));
    server.put(REPO, "main", COMMIT, "Landmark_68.pkl", &network("face300w68", dir.path()));
    let (data, out) = (path(dir.path().join("data")), path(dir.path().join("out")));
    let arguments = ["--profile", "all", "--data", &data, "--out", &out, "--compat", "reference"];
    let output = reproduce(dir.path(), &server.endpoint, &arguments);
    let (told, wrong) = (text(&output.stdout), text(&output.stderr));
    // Weights that were never trained miss.
    assert_eq!(output.status.code(), Some(1), "{told}\n{wrong}");
    assert!(wrong.contains("checked cells miss their target"), "{wrong}");

    let report_of = || report(&dir.path().join("out"));
    let report = report_of();
    for cell in filled_or_explained(&report, &["WFLW", "300W", "COFW", "300VW"]) {
        if cell["set"] == "COFW" {
            assert!(cell["remark"].as_str().unwrap().contains("no published weights"), "{cell}");
        }
    }
    // Third parties measured the published weights; six faces are not 688.
    assert!(told.contains("2.8704") && told.contains("6 faces scored, the figure is of 688"), "{told}");
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
        "Size of the network",
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
    let told = text(&reproduce(dir.path(), NOWHERE, &again).stdout);
    assert!(told.contains("WFLW, star, seed 0: scoring") && !told.contains("300W, star"), "{told}");
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
        let (told, wrong) = (text(&output.stdout), text(&output.stderr));
        // What misses a target is an exit code; 300VW has no target.
        let expected = if profile == "300vw" { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{told}\n{wrong}");
        for part in ["not the published recipe", "epochs = 1", "training faces that were held out", name] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // Two seeds disagree, and so have a spread.
        assert!(told.contains("over 2 trainings"), "{told}");
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
    let (told, wrong) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}\n{wrong}");
    assert!(wrong.contains("checked cells miss their target"), "{wrong}");
    let table = told.split("## Ablations").nth(1).unwrap();
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
    assert!(!output.status.success() && wrong.contains("trained on other faces"), "{wrong}");

    // What a training is named by is not for overriding.
    write(&dir.path().join("tiny.toml"), "[loss]\nkind = 'adl'\n");
    let wrong = text(&reproduce(dir.path(), NOWHERE, &arguments).stderr);
    assert!(wrong.contains("loss.kind") && wrong.contains("--ablations"), "{wrong}");
}

#[test]
fn weights_of_ones_own_and_the_published_rows_are_scored_and_held_to_the_figures_that_they_are_of() {
    let dir = sets();
    network("cofw29", dir.path());
    network("face300w68", dir.path());
    let data = path(dir.path().join("data"));
    let run = |profile: &str, weights: &str| {
        let (out, weights) = (path(dir.path().join(profile)), path(dir.path().join(weights)));
        let mut arguments = vec!["--profile", profile, "--data", &data, "--out", &out, "--weights", &weights];
        arguments.extend(["--compat", "reference"]);
        let output = reproduce(dir.path(), NOWHERE, &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        (report(Path::new(&out)), text(&output.stdout))
    };
    let (report, told) = run("cofw", "cofw29.safetensors");
    assert!(told.contains("Weights as given by --weights"), "{told}");
    let own = |cell: &&Value| cell["ours"].is_number() && cell["verdict"] == "missed";
    assert!(report["cells"].as_array().unwrap().iter().filter(own).count() >= 2, "{report}");

    // The published list of 300W loses its first row; what it does not tell, the subsets, is said.
    let root = dir.path().join("data/300W");
    let mut rows = String::new();
    for (i, face) in faces(4, 50).iter().enumerate() {
        let name = format!("images/{i}.png");
        picture(&root.join(&name), face);
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
        let scheme = Scheme::named("face300w68").unwrap();
        rows += &tsv::format_annotation(&row, &scheme, CropRule::LandmarkTight).unwrap();
        rows += "\n";
    }
    write(&root.join("test.tsv"), rows);
    let (report, told) = run("300w", "face300w68.safetensors");
    assert!(told.contains("300W test: 3 faces"), "{told}");
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

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_report() {
    let dir = tempfile::tempdir().unwrap();
    let run = |out: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reproduce"));
        command.args(["--epochs", "1", "--seeds", "1", "--out"]).arg(out).args(more);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null());
        command
    };
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    assert!(run(&whole, &[]).status().unwrap().success());
    // In the midst of trainings: one of ten is done, others are not.
    let mut child = run(&killed, &[]).spawn().unwrap();
    let done = || {
        let trainings = std::fs::read_dir(killed.join("train")).into_iter().flatten().flatten();
        trainings.filter(|training| training.path().join("done").exists()).count()
    };
    while done() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done() < 10 && !killed.join("report").exists());
    assert!(run(&killed, &["--resume"]).status().unwrap().success());
    let report = |out: &Path| std::fs::read_to_string(out.join("report/report.json")).unwrap();
    assert!(report(&whole) == report(&killed), "the reports differ");
}

#[test]
fn what_is_missing_is_asked_for_with_its_layout_and_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (path(dir.path().join("data")), path(dir.path().join("out")));
    std::fs::create_dir_all(&data).unwrap();
    let output = reproduce(dir.path(), NOWHERE, &["--profile", "300w", "--data", &data, "--out", &out]);
    let wrong = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for part in ["300W is not there", "never downloaded", "helen/{trainset,testset}", "research only", &data]
    {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    let plan =
        reproduce(dir.path(), NOWHERE, &["--profile", "all", "--data", &data, "--out", &out, "--dry-run"]);
    let told = text(&plan.stdout);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    for part in ["WFLW is not there", "star-wflw", "2500 faces", "hours", "MB"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!Path::new(&out).exists(), "a dry run leaves nothing");
}
