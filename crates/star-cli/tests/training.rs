//! `star train` from outside: what it leaves behind, and that nothing is lost when it is stopped, killed or starved.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use star_data::formats::tsv::format_row;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Scheme};
use star_train::state::{self, State};

use common::{assert_contains, bytes, faces, ok, refused, star};

const CONFIG: &str = r#"
scheme = "wflw98"
seed = 3
epochs = 2
batch_size = 4
ema_half_life = 10
[data.train]
format = "synthetic"
count = 16
image_size = 64
[data.validation]
format = "synthetic"
count = 4
seed = 9
image_size = 64
[model]
stacks = 1
levels = 1
channels = 32
image_size = 32
"#;

#[test]
fn a_training_resumed_ends_with_the_same_bits_and_its_weights_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("two.toml"), CONFIG).unwrap();
    std::fs::write(dir.path().join("one.toml"), CONFIG.replace("epochs = 2", "epochs = 1")).unwrap();
    let output = star(dir.path(), &["train", "--config", "two.toml", "--out", "whole"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("16 images, 4 to validate; stacked hourglass, "), "{said}");
    assert_contains(&said, &[", on cpu; in whole", "EMA NME %  images/s", "time left\n", "1/2 ", "2/2 "]);
    ok(dir.path(), &["train", "--config", "one.toml", "--out", "parts"]);
    let error = refused(dir.path(), &["train", "--config", "two.toml", "--out", "parts"]);
    assert_contains(&error, &["already holds a run", "--resume"]);
    ok(dir.path(), &["train", "--config", "two.toml", "--out", "parts", "--resume"]);
    assert_eq!(
        bytes(dir.path(), "whole/last/model.safetensors"),
        bytes(dir.path(), "parts/last/model.safetensors")
    );
    let log = std::fs::read_to_string(dir.path().join("whole/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"kind\":\"epoch\"")).count(), 2);

    std::fs::write(dir.path().join("other.toml"), CONFIG.replace("seed = 3", "seed = 4")).unwrap();
    let error = refused(dir.path(), &["train", "--config", "other.toml", "--out", "parts", "--resume"]);
    assert_contains(&error, &["configuration differs"]);

    let picture = SyntheticFaces::new(SyntheticConfig::default()).unwrap().get(0).unwrap().image;
    picture.save(dir.path().join("face.png")).unwrap();
    let json = ok(dir.path(), &["predict", "face.png", "--weights", "whole/best", "--box", "30,30,90,90"]);
    let faces = faces(&json);
    // What was drawn to train on is drawn to score on.
    let eval = ["eval", "--weights", "whole/best", "--format", "synthetic", "--synthetic"];
    let scored = ok(dir.path(), &[&eval[..], &["count=3,seed=9,image_size=64,labels=exact"]].concat());
    assert_contains(&scored, &["synthetic faces, seed 9, exact, full: 3 images"]);
    assert_contains(&refused(dir.path(), &[&eval[..], &["count=3,subject=hand"]].concat()), &["98", "21"]);
    assert_eq!(faces[0]["points"].as_array().unwrap().len(), Scheme::named("wflw").unwrap().keypoints);
}

#[test]
fn stacks_worked_out_again_end_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kept.toml"), CONFIG).unwrap();
    std::fs::write(dir.path().join("again.toml"), format!("recompute = true\n{CONFIG}")).unwrap();
    for name in ["kept", "again"] {
        ok(dir.path(), &["train", "--config", &format!("{name}.toml"), "--out", name]);
    }
    let last = |name: &str| bytes(dir.path(), &format!("{name}/last/model.safetensors"));
    assert!(last("kept") == last("again"));
}

#[cfg(unix)]
#[test]
fn a_training_stopped_by_a_signal_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("epochs = 2", "epochs = 30").replace("count = 16", "count = 32");
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    let start = |out: &str, resume: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
        command.args(["train", "--config", "run.toml", "--out", out]).current_dir(dir.path());
        if resume {
            command.arg("--resume");
        }
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let log = dir.path().join("parts/metrics.jsonl");
    let mut child = start("parts", false);
    // Once the first epoch is on record the run is well under way.
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"kind\":\"epoch\"")) {
        assert!(child.try_wait().unwrap().is_none(), "the training ended before it could be stopped");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start("parts", true).wait().unwrap().success());
    assert!(start("whole", false).wait().unwrap().success());
    assert_eq!(
        bytes(dir.path(), "whole/last/model.safetensors"),
        bytes(dir.path(), "parts/last/model.safetensors")
    );
    let records = |out: &str| {
        std::fs::read_to_string(dir.path().join(out).join("metrics.jsonl")).unwrap().lines().count()
    };
    assert_eq!(records("whole"), records("parts"));
}

#[test]
fn a_training_file_that_is_wrong_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), CONFIG.replace("epochs", "epocs")).unwrap();
    let error = refused(dir.path(), &["train", "--config", "bad.toml", "--out", "o"]);
    assert_contains(&error, &["bad.toml", "line 4", "epocs"]);
    std::fs::write(dir.path().join("bad.toml"), CONFIG.replace("levels = 1", "levels = 9")).unwrap();
    let error = refused(dir.path(), &["train", "--config", "bad.toml", "--out", "o"]);
    assert_contains(&error, &["image_size", "multiple"]);
    let large = CONFIG.replace("[model]", "[model]\nstem = 4096");
    std::fs::write(dir.path().join("bad.toml"), large.replace("stacks = 1", "stacks = 64")).unwrap();
    let error = refused(dir.path(), &["train", "--config", "bad.toml", "--out", "o"]);
    assert_contains(
        &error,
        &["model", "channels, stacks, levels, stem: expected a network of at most", "parameters"],
    );
}

#[cfg(unix)]
#[test]
fn a_training_whose_messages_cannot_be_written_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG).unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
    command.current_dir(dir.path()).args(["train", "--config", "run.toml", "--out", "out"]);
    let status = command.stderr(full).status().unwrap();
    assert!(status.success() && dir.path().join("out/best/config.json").is_file(), "{status}");
}

/// Everything that a trainer is asked for beside the published recipe.
const EXTRAS: &str = r#"
accumulate = 2
clip_norm = 0.5
tensorboard = true
[schedule]
learning_rate = 2e-3
warmup_epochs = 0.5
decay = { kind = "cosine", min_lr = 1e-5 }
[optimizer]
kind = "adam_w"
weight_decay = 0.05
"#;

/// `CONFIG` with settings that stand before its first section, and sections after it.
fn with_extras() -> String {
    let (top, sections) = EXTRAS.split_at(EXTRAS.find("[schedule]").unwrap());
    format!("{top}{CONFIG}{sections}")
}

#[test]
fn every_other_setting_of_the_trainer_resumes_to_the_same_bits_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), with_extras()).unwrap();
    ok(dir.path(), &["train", "--config", "run.toml", "--out", "whole"]);
    for file in ["losses.svg", "validation.svg", "best/config.json"] {
        assert!(!bytes(dir.path(), &format!("whole/{file}")).is_empty(), "{file}");
    }
    let events: Vec<_> = std::fs::read_dir(dir.path().join("whole/tensorboard")).unwrap().collect();
    assert_eq!(events.len(), 1);

    // A cosine over two epochs is not the beginning of one over four.
    let longer = with_extras().replace("epochs = 2", "epochs = 4");
    std::fs::write(dir.path().join("longer.toml"), longer).unwrap();
    let error = refused(dir.path(), &["train", "--config", "longer.toml", "--out", "whole", "--resume"]);
    assert_contains(&error, &["configuration differs"]);

    // Forget the last epoch, do it again.
    let states = dir.path().join("whole/state");
    let last = bytes(dir.path(), "whole/last/model.safetensors");
    let mut names: Vec<_> = std::fs::read_dir(&states).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 2);
    std::fs::remove_dir_all(&names[1]).unwrap();
    std::fs::remove_dir_all(dir.path().join("whole/last")).unwrap();
    ok(dir.path(), &["train", "--config", "run.toml", "--out", "whole", "--resume"]);
    assert_eq!(bytes(dir.path(), "whole/last/model.safetensors"), last);
}

#[test]
fn an_estimate_prints_costs_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG).unwrap();
    let text = ok(dir.path(), &["train", "--config", "run.toml", "--dry-run"]);
    assert_contains(&text, &["trained parameters", "peak memory", "epoch", "2 epochs"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_run_starts_from_other_weights_and_says_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG.replace("epochs = 2", "epochs = 1")).unwrap();
    ok(dir.path(), &["train", "--config", "run.toml", "--out", "first"]);
    // From its own last weights at a learning rate of nothing, the run stays where it was.
    let second = format!(
        "init_from = \"first/last\"\n{}[schedule]\nlearning_rate = 1e-300\ndecay = {{ kind = \"constant\" }}\n",
        CONFIG.replace("epochs = 2", "epochs = 1")
    );
    std::fs::write(dir.path().join("second.toml"), second).unwrap();
    let output = common::star(dir.path(), &["train", "--config", "second.toml", "--out", "second"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_contains(&told, &["init_from", "tensors taken"]);
    let read = |name: &str| {
        let path = dir.path().join(name).join("last/model.safetensors");
        candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap()
    };
    let (first, second) = (read("first"), read("second"));
    let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (name, tensor) in &first {
        if !name.contains("running_") {
            assert_eq!(values(tensor), values(&second[name]), "{name}");
        }
    }
}

fn spawn(dir: &Path, out: &str, resume: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
    command.args(["train", "--config", "run.toml", "--out", out]).current_dir(dir);
    if resume {
        command.arg("--resume");
    }
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for_an_epoch(child: &mut Child, log: &Path) {
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains("\"kind\":\"epoch\"")) {
        assert!(child.try_wait().unwrap().is_none(), "the training ended before its first epoch did");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_training_killed_at_twenty_moments_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("save_minutes = 0.0003\n{}", CONFIG.replace("epochs = 2", "epochs = 40"));
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    assert!(spawn(dir.path(), "whole", false).wait().unwrap().success());
    let out = dir.path().join("parts");
    // Moments that are spread out, and the same in every run of this test.
    let (mut kills, mut moment) = (0, 7u64);
    while kills < 20 {
        moment = (moment * 48_271) % 0x7fff_ffff;
        let mut child = spawn(dir.path(), "parts", state::exists(&out));
        std::thread::sleep(Duration::from_millis(40 + moment % 160));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 5, "the training was over after {kills} kills");
    println!("{kills} kills");
    assert!(spawn(dir.path(), "parts", state::exists(&out)).wait().unwrap().success());
    for file in ["last/model.safetensors", "best/model.safetensors", "best/config.json"] {
        assert_eq!(
            bytes(dir.path(), &format!("whole/{file}")),
            bytes(dir.path(), &format!("parts/{file}")),
            "{file}"
        );
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{CONFIG}[schedule]\nlearning_rate = 1e30\ndecay = {{ kind = \"constant\" }}\n");
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    let error = refused(dir.path(), &["train", "--config", "run.toml", "--out", "o"]);
    assert_contains(
        &error,
        &["is not finite at step", "samples [", "bad-batch.safetensors", "learning_rate"],
    );
    let path = dir.path().join("o/bad-batch.safetensors");
    let batch = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    assert_eq!(batch["images"].dims(), [4, 32, 32, 3]);
    assert_eq!(batch["points"].dims(), [4, 98, 2]);
}

#[test]
fn a_picture_that_vanishes_is_named_and_earlier_states_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let faces =
        SyntheticFaces::new(SyntheticConfig { count: 6, image_size: 64, ..Default::default() }).unwrap();
    let mut rows = String::new();
    for i in 0..6 {
        let (sample, name) = (faces.get(i).unwrap(), format!("face{i}.png"));
        sample.image.save(dir.path().join(&name)).unwrap();
        rows += &(format_row(Path::new(&name), &[[0.0; 2]; 5], &sample.points, &[]).unwrap() + "\n");
    }
    std::fs::write(dir.path().join("faces.tsv"), rows).unwrap();
    let sections = CONFIG.split("[data.train]").next().unwrap().replace("epochs = 2", "epochs = 4000");
    let model = &CONFIG[CONFIG.find("[model]").unwrap()..];
    let source = "format = \"tsv\"\nannotations = \"faces.tsv\"\n";
    let config = format!("{sections}[data.train]\n{source}[data.validation]\n{source}{model}");
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    let mut child = spawn(dir.path(), "o", false);
    wait_for_an_epoch(&mut child, &dir.path().join("o/metrics.jsonl"));
    std::fs::remove_file(dir.path().join("face4.png")).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_contains(&error, &["face4.png", "No such file"]);
    State::load(&dir.path().join("o")).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG).unwrap();
    let error = refused(dir.path(), &["train", "--config", "run.toml", "--out", "run.toml/o"]);
    assert_contains(&error, &["making the folder", "run.toml/o"]);
}

/// A small file system of its own, unmounted when dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(dir: &'a Path, kilobytes: u64) -> Option<Self> {
        let size = format!("size={kilobytes}k");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output();
        status.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    fn read_only(&self) {
        assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_full_or_read_only_disk_is_an_error_and_leaves_earlier_states_whole() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), CONFIG.replace("epochs = 2", "epochs = 9")).unwrap();
    std::fs::write(dir.path().join("one.toml"), CONFIG.replace("epochs = 2", "epochs = 1")).unwrap();
    ok(dir.path(), &["train", "--config", "one.toml", "--out", "one"]);
    let used = Command::new("du").args(["-sk", "one"]).current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8(used.stdout).unwrap();
    let used: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    // Room for a first state with its weights and not for the next.
    let Some(mount) = Mount::new(&small, used + used / 4) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let error = refused(dir.path(), &["train", "--config", "run.toml", "--out", "small/o"]);
    assert_contains(&error, &["small/o", "No space left"]);
    let (state, _) = State::load(&small.join("o")).unwrap();
    assert!(state.position.step > 0);
    mount.read_only();
    let error = refused(dir.path(), &["train", "--config", "run.toml", "--out", "small/other"]);
    assert_contains(&error, &["small/other", "Read-only file system"]);
}

#[test]
fn a_scheme_of_ones_own_is_taken_from_the_data_and_kept_with_the_weights_and_starts_from_the_built_in_ones() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let faces_of =
        SyntheticFaces::new(SyntheticConfig { count: 6, image_size: 64, ..Default::default() }).unwrap();
    let mut rows = "image,left_eye_x,left_eye_y,right_eye_x,right_eye_y,chin_x,chin_y\n".to_string();
    for i in 0..6 {
        let face = faces_of.get(i).unwrap();
        face.image.save(dir.join(format!("{i}.png"))).unwrap();
        let [[a, b], [c, d], [e, f]] = [72, 60, 16].map(|k| face.points[k]);
        rows += &format!("{i}.png,{a},{b},{c},{d},{e},{f}\n");
    }
    std::fs::write(dir.join("mine.csv"), rows).unwrap();
    let scheme = "[scheme]\nname = 'mine'\nkeypoints = 3\nnames = ['left_eye', 'right_eye', 'chin']\nflip_pairs = [[0, 1]]\n\
                  inter_ocular = [[0], [1]]\nnormalizer = 'inter-ocular'\n";
    std::fs::write(dir.join("mine.toml"), scheme).unwrap();
    let run = "epochs = 1\nbatch_size = 2\n[data]\nholdout = 0.34\n[data.train]\nformat = 'own'\nannotations = 'mine.toml'\n\
               [model]\nstacks = 1\nlevels = 1\nchannels = 32\nimage_size = 32\n";
    std::fs::write(dir.join("run.toml"), run).unwrap();
    ok(dir, &["train", "--config", "run.toml", "--out", "out"]);
    for weights in ["out/best", "out/best/model.safetensors"] {
        let found = faces(&ok(dir, &["predict", "0.png", "--weights", weights, "--box", "5,5,50,50"]));
        assert_eq!(
            (found[0]["scheme"].as_str(), found[0]["points"].as_array().unwrap().len()),
            (Some("mine"), 3)
        );
        assert_contains(&ok(dir, &["inspect", weights]), &["mine, 3 keypoints", "32x32"]);
    }
    ok(dir, &["convert", "out/best/model.safetensors", "half", "--dtype", "f16"]);
    assert_contains(&ok(dir, &["inspect", "half"]), &["mine, 3 keypoints", "32x32", "f16"]);
    ok(dir, &["eval", "--weights", "half", "--format", "own", "--annotations", "mine.toml"]);
    let pyramid = "pyramid = { kernel = 5, levels = [32, 64, 96, 128], channels = 96 }";
    let model = format!("backbone = 'light_pyramid'\nimage_size = 64\n{pyramid}");
    let from = run.replace("stacks = 1\nlevels = 1\nchannels = 32\nimage_size = 32", &model);
    let from = format!("init_from = 'builtin'\n{from}");
    std::fs::write(dir.join("from.toml"), from).unwrap();
    let output = common::star(dir, &["train", "--config", "from.toml", "--out", "from"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_contains(&said, &["init_from: builtin", "tensors taken"]);
    // A format without a scheme of its own needs a name.
    std::fs::write(dir.join("none.toml"), run.replace("'own'", "'tsv'").replace("mine.toml", "mine.tsv"))
        .unwrap();
    assert_contains(
        &refused(dir, &["train", "--config", "none.toml", "--out", "x"]),
        &["scheme", "name one"],
    );
}

#[test]
fn samples_without_a_length_to_divide_by_are_told_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    image::RgbImage::new(64, 64).save(dir.join("a.png")).unwrap();
    let files = |name: &str, keypoints: usize, header: &str, rows: &str| {
        std::fs::write(dir.join(format!("{name}.csv")), format!("{header}\n{rows}")).unwrap();
        std::fs::write(
            dir.join(format!("{name}.toml")),
            format!("[scheme]\nname = '{name}'\nkeypoints = {keypoints}\nflip_pairs = []\n"),
        )
        .unwrap();
        let run = format!(
            "epochs = 1\nbatch_size = 1\n[data.train]\nformat = 'own'\nannotations = '{name}.toml'\n[data.validation]\n\
             format = 'own'\nannotations = '{name}.toml'\n[model]\nstacks = 1\nlevels = 1\nchannels = 32\nimage_size = 32\n"
        );
        std::fs::write(dir.join(format!("{name}-run.toml")), run).unwrap();
    };
    let header = "image,x0,y0,x1,y1,box_x,box_y,box_width,box_height";
    files("same", 2, header, "a.png,20,20,20,20,5,5,40,40\n");
    for extra in [&["--dry-run"][..], &["--out", "same"]] {
        let error = refused(dir, &[&["train", "--config", "same-run.toml"], extra].concat());
        assert_contains(&error, &["a.png", "row 0", "box diagonal"]);
    }
    files("two", 2, header, "a.png,20,20,40,44,5,5,50,50\na.png,20,20,,,5,5,50,50\n");
    let output = common::star(dir, &["train", "--config", "two-run.toml", "--out", "two"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_contains(&said, &["1 of 2 validation samples", "row 1"]);
}
