//! `star bench` from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{assert_contains, golden, ok, refused};

#[test]
fn bench_prints_a_table_or_figures_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let pickle = golden("hourglass_cofw_small.pkl");
    ok(dir.path(), &["convert", &pickle, "w", "--image-size", "64"]);
    let bench = |more: &[&str]| {
        ok(dir.path(), &[&["bench", "--weights", "w", "--runs", "2", "--batch-size", "3"][..], more].concat())
    };
    assert_contains(&bench(&["--steps"]), &["latency", "images/s", "memory", "hgs.0.up1.conv2", "GMAC/s"]);
    let short = bench(&[]);
    let rows: Vec<&str> = short.lines().skip_while(|line| !line.starts_with("one image")).skip(1).collect();
    let ms = |row: &str| row[40..].split_whitespace().next().unwrap().parse::<f64>().unwrap();
    assert!(
        rows.len() == 6 && rows[5].contains("--steps") && short.lines().all(|line| line.len() <= 80),
        "{short}"
    );
    assert!(rows[..5].windows(2).all(|pair| ms(pair[0]) >= ms(pair[1])), "{short}");
    let figures: serde_json::Value =
        serde_json::from_str(&bench(&["--json", "-", "--threads", "1", "--isa", "portable"])).unwrap();
    assert_eq!(
        (&figures["isa"], &figures["threads"], &figures["batch_size"]),
        (&"portable".into(), &1.into(), &3.into())
    );
    let number = |name: &str| figures[name].as_f64().unwrap();
    assert!(number("min_ms") > 0.0 && number("min_ms") <= number("median_ms"));
    // three images a batch
    let rate = 3000.0 / number("median_ms");
    assert!((number("images_per_second") / rate - 1.0).abs() < 1e-9);
    assert!(figures["steps"].as_array().unwrap().len() > 100);
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_contains(&refused(dir.path(), &["bench", "--weights", "nowhere"]), &["nowhere"]);
    assert_contains(&refused(dir.path(), &["bench", "--runs", "0"]), &["--runs", "at least 1"]);
    let other = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    assert_contains(&refused(dir.path(), &["bench", "--isa", other]), &[other, "this CPU"]);
}
