//! Reports in a real browser: no console message, no request to the network, readable wide and narrow, light and dark.
//!
//! Runs where a Chromium is found (Debian: `apt-get install chromium`), says so and passes where there is none. With
//! `STAR_SCREENSHOTS=DIR` the screenshots are kept for a person to look at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::chromium::{CONTRAST, QUIET, chromium};
use common::{golden, ok};
use star_data::formats::tsv::format_row;
use star_data::synthetic::{Labels, SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Scheme};

/// How long a page may take on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a browser that ends without having shown the page is started again.
const ATTEMPTS: usize = 3;
const WIDE: [u32; 2] = [1300, 3000];
const MIDDLE: [u32; 2] = [1000, 3000];
const NARROW: [u32; 2] = [400, 3000];

struct Browser {
    program: PathBuf,
}

/// What a page did when it was shown.
struct Visit {
    /// Messages on the console.
    console: Vec<String>,
    /// Addresses of the network that the page asked for.
    requests: Vec<String>,
    /// What was to be seen.
    screenshot: image::RgbImage,
    measured: Measured,
}

/// What a page says of itself.
struct Measured {
    /// Width of its content less that of the window, pixels.
    overflow: i64,
    /// The smallest contrast of a text with its ground.
    contrast: f64,
    /// Tables that go on beyond their frame without a shade at its edge that says so.
    cut: i64,
    /// Columns of the widest table.
    columns: i64,
}

/// Has a page say what [`Measured`] holds, as numbers.
const MEASURE: &str = "const root = document.documentElement; \
    const cut = [...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth) \
        .filter((e) => !getComputedStyle(e).backgroundAttachment.includes('local')); \
    const columns = [...document.querySelectorAll('tr')].map((row) => row.cells.length); \
    const found = [root.scrollWidth - innerWidth, least[0], cut.length, Math.max(0, ...columns)]; \
    console.log(`measured ${found.join(' ')} at ${innerWidth} end ${least[1]}`)";

impl Browser {
    /// The browser of this machine, or `None` and a line that says so.
    fn find() -> Option<Self> {
        let found = chromium();
        if found.is_none() {
            println!("skipped: no chromium is installed");
        }
        found.map(|program| Self { program })
    }

    /// Runs the browser once with a profile of its own; returns its log.
    fn run(&self, dir: &Path, [width, height]: [u32; 2], dark: bool, arguments: &[String]) -> String {
        let profile = tempfile::tempdir_in(dir).unwrap();
        let log = profile.path().join("log");
        let mut child = Command::new(&self.program)
            .args(QUIET)
            .args(["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("the browser did not end within {PATIENCE:?}: {}", read(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        read(&log)
    }

    fn visit(&self, dir: &Path, page: &Path, size: [u32; 2], dark: bool) -> Visit {
        // Of its own: where a browser ends without a picture, that of an earlier visit is none of it.
        let own = tempfile::tempdir_in(dir).unwrap();
        let (shot, net) = (own.path().join("shot.png"), own.path().join("net.json"));
        let arguments = [
            format!("--screenshot={}", shot.display()),
            format!("--log-net-log={}", net.display()),
            format!("file://{}", page.display()),
        ];
        let log = self.run_until(dir, size, dark, &arguments, |_| shot.is_file() && net.is_file());
        let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        Visit {
            console,
            requests: requests(&std::fs::read_to_string(&net).unwrap()),
            screenshot: image::open(&shot).unwrap().to_rgb8(),
            measured: self.measure(dir, page, size, dark),
        }
    }

    /// Runs the browser until it has done what it was started for; returns its log. On a busy machine Chromium now and then ends
    /// without having shown the page, which says nothing of the page.
    fn run_until(
        &self,
        dir: &Path,
        size: [u32; 2],
        dark: bool,
        arguments: &[String],
        done: impl Fn(&str) -> bool,
    ) -> String {
        let mut logs = Vec::new();
        for _ in 0..ATTEMPTS {
            let log = self.run(dir, size, dark, arguments);
            if done(&log) {
                return log;
            }
            logs.push(log);
        }
        panic!("the browser did not show the page in {ATTEMPTS} attempts: {logs:#?}")
    }

    /// A copy of the page measures itself in a frame, which may be narrower than the browser lets its windows be.
    fn measure(&self, dir: &Path, page: &Path, [width, height]: [u32; 2], dark: bool) -> Measured {
        let measure = format!("<script>const least = {CONTRAST}; {MEASURE}</script></body>");
        let (copy, frame) = (dir.join("measured.html"), dir.join("frame.html"));
        std::fs::write(&copy, std::fs::read_to_string(page).unwrap().replace("</body>", &measure)).unwrap();
        let html = format!(
            "<!DOCTYPE html><html><body><iframe src=\"measured.html\" width=\"{width}\" height=\"{height}\" \
             style=\"border:0\"></iframe></body></html>"
        );
        std::fs::write(&frame, html).unwrap();
        let address = format!("file://{}", frame.display());
        let arguments = ["--dump-dom".into(), address];
        let log = self.run_until(dir, [1300, height], dark, &arguments, |log| log.contains("measured "));
        let found = log.split("measured ").nth(1).unwrap();
        let words: Vec<&str> = found.split_whitespace().collect();
        assert_eq!(words[5], width.to_string(), "{log}");
        let whole = |i: usize| words[i].parse().unwrap();
        Measured { overflow: whole(0), contrast: words[1].parse().unwrap(), cut: whole(2), columns: whole(3) }
    }
}

/// Addresses of the network that the browser's own log says a page asked for. What the browser asks for by itself has no page as
/// its origin.
fn requests(log: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in log.lines() {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line.trim_end_matches(',')) else {
            continue;
        };
        let text = |field: &str| event["params"][field].as_str();
        let (Some(url), Some(origin)) = (text("url"), text("initiator")) else { continue };
        let inside = ["file:", "data:", "about:", "chrome:"].iter().any(|own| url.starts_with(own));
        if origin != "not an origin" && !inside {
            found.push(url.to_owned());
        }
    }
    found
}

fn mean_light(image: &image::RgbImage) -> f64 {
    image.pixels().map(|p| p.0.iter().map(|v| f64::from(*v)).sum::<f64>() / 3.0).sum::<f64>()
        / (image.width() * image.height()) as f64
}

/// Shows a page wide and narrow, light and dark, and checks each.
fn check(browser: &Browser, dir: &Path, page: &Path, name: &str) {
    for (size, width) in [(WIDE, "wide"), (MIDDLE, "middle"), (NARROW, "narrow")] {
        for (dark, theme) in [(false, "light"), (true, "dark")] {
            let visit = browser.visit(dir, page, size, dark);
            assert_eq!(visit.console, [""; 0], "{name}, {width}, {theme}");
            assert_eq!(visit.requests, [""; 0], "{name}, {width}, {theme}");
            let Measured { overflow, contrast, cut, columns } = visit.measured;
            assert!(overflow <= 0, "{name}, {width}, {theme}: {overflow} px too wide");
            assert!(contrast >= 4.5, "{name}, {width}, {theme}: contrast {contrast}");
            assert_eq!(cut, 0, "{name}, {width}, {theme}: tables cut without a hint");
            assert!((1..=7).contains(&columns), "{name}, {width}, {theme}: {columns} columns");
            let light = mean_light(&visit.screenshot);
            assert!(
                if dark { light < 90.0 } else { light > 170.0 },
                "{name}, {width}, {theme}: lightness {light}"
            );
            if let Some(keep) = std::env::var_os("STAR_SCREENSHOTS") {
                std::fs::create_dir_all(&keep).unwrap();
                visit.screenshot.save(Path::new(&keep).join(format!("{name}-{width}-{theme}.png"))).unwrap();
            }
        }
    }
}

#[test]
fn messages_requests_and_pages_that_are_too_wide_or_pale_are_noticed() {
    let Some(browser) = Browser::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("bad.html");
    let body = "<div style=\"width:2000px\">wide</div><p style=\"color:#999999\">pale</p>\
                <div class=\"scroll\" style=\"width:200px;overflow:auto\"><table style=\"width:400px\"><tr><td>a</td><td>b</td></tr></table></div><img src=\"http://example.invalid/x.png\"/>\
                <script>console.error('something is wrong')</script>";
    std::fs::write(
        &page,
        format!("<!DOCTYPE html><html><body style=\"background:#ffffff\">{body}</body></html>"),
    )
    .unwrap();
    let visit = browser.visit(dir.path(), &page, NARROW, false);
    assert!(visit.console.iter().any(|line| line.contains("something is wrong")), "{:?}", visit.console);
    assert!(visit.requests.iter().any(|url| url.contains("example.invalid")), "{:?}", visit.requests);
    let Measured { overflow, contrast, cut, columns } = visit.measured;
    assert!(overflow > 1000, "{overflow}");
    // Grey of 0.6 in sRGB on white.
    assert!((contrast - 2.85).abs() < 0.02, "{contrast}");
    assert_eq!((cut, columns), (1, 2));
}

/// Frames of two videos of synthetic faces in COFW's scheme, the first ones of their points.
fn drawn_set(dir: &Path, count: usize) {
    let config = SyntheticConfig { count, image_size: 128, labels: Labels::Exact, ..Default::default() };
    let faces = SyntheticFaces::new(config).unwrap();
    let keypoints = Scheme::named("cofw").unwrap().keypoints;
    let mut text = String::new();
    for i in 0..count {
        let sample = faces.get(i).unwrap();
        let image = PathBuf::from(format!("video{}/{i:06}.png", i % 2));
        std::fs::create_dir_all(dir.join(&image).parent().unwrap()).unwrap();
        sample.image.save(dir.join(&image)).unwrap();
        let points: Vec<[f32; 2]> = (0..keypoints).map(|k| sample.points[3 * k]).collect();
        let tag = if i % 3 == 0 { "occlusion".to_string() } else { "blur".to_string() };
        text += &(format_row(&image, &[[0.0; 2]; 5], &points, &[tag]).unwrap() + "\n");
    }
    std::fs::write(dir.join("faces.tsv"), text).unwrap();
}

#[test]
fn reports_on_drawn_faces_are_whole_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drawn_set(dir, 24);
    ok(dir, &["convert", &golden("hourglass_cofw_small.pkl"), "w", "--image-size", "64"]);
    let eval = [
        "eval",
        "--annotations",
        "faces.tsv",
        "--weights",
        "w",
        "--dataset",
        "synthetic faces",
        "--threshold",
        "0.5",
    ];
    ok(
        dir,
        &[&eval[..], &["--report", "a", "--video", "--box-sensitivity", "6", "--predictions", "p.json"]]
            .concat(),
    );
    check(&browser, dir, &dir.join("a/index.html"), "drawn");

    // A second run whose landmarks are off by more or less from face to face.
    let mut faces: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(dir.join("p.json")).unwrap()).unwrap();
    for (i, face) in faces.iter_mut().enumerate() {
        for point in face["points"].as_array_mut().unwrap() {
            let x = point[0].as_f64().unwrap() + (i as f64).sin() * 8.0 - 3.0;
            point[0] = serde_json::json!(x);
        }
    }
    std::fs::write(dir.join("q.json"), serde_json::to_vec(&faces).unwrap()).unwrap();
    let score = [
        "score",
        "--truth",
        "faces.tsv",
        "--predictions",
        "q.json",
        "--scheme",
        "cofw29",
        "--dataset",
        "synthetic faces",
    ];
    ok(dir, &[&score[..], &["--threshold", "0.5", "--report", "b"]].concat());
    ok(dir, &["compare", "a/report.json", "b/report.json", "--report", "c"]);
    check(&browser, dir, &dir.join("c/index.html"), "comparison");
}

#[test]
fn a_report_on_photographs_is_whole_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let photographs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real-faces/dlib");
    if !photographs.is_dir() {
        println!("skipped: {} is not there", photographs.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = |file: &str| photographs.join(file).to_string_lossy().into_owned();
    let section = |which: &str, file: &str| {
        format!("[data.{which}]\nformat = \"tsv\"\nannotations = {:?}\nimages = {:?}\n", data(file), data(""))
    };
    let model = "[model]\nstacks = 1\nlevels = 2\nchannels = 16\nimage_size = 64\n";
    let config = format!(
        "scheme = \"ibug68\"\nepochs = 2\nbatch_size = 8\n{}{}{model}",
        section("train", "train.tsv"),
        section("validation", "test.tsv")
    );
    std::fs::write(dir.join("run.toml"), config).unwrap();
    ok(dir, &["train", "--config", "run.toml", "--out", "run"]);
    let eval = ["eval", "--annotations", &data("test.tsv"), "--weights", "run/best", "--report", "r"];
    ok(dir, &[&eval[..], &["--box-sensitivity", "4"]].concat());
    check(&browser, dir, &dir.join("r/index.html"), "photographs");
}
