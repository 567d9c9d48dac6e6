//! The page of `star serve` in a real browser, with a photograph and with a camera that shows a video: landmarks are drawn where they are,
//! nothing is too wide, unreadable or out of a keyboard's reach, no message on the console, no request to elsewhere.
//!
//! Runs where a Chromium is found (Debian: `apt-get install chromium`), says so and passes where there is none. With
//! `STAR_SCREENSHOTS=DIR` the screenshots are kept for a person to look at.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::chromium::{CONTRAST, Page, chromium};
use common::server::Server;
use serde_json::{Value, json};

/// Keeps the last answer to a request for the test to look at.
const LISTEN: &str = "const real = window.fetch; window.fetch = async (...asked) => { const response = await real(...asked); \
    if (String(asked[0]).includes('predict') && response.ok) window.last = await response.clone().json(); return response; };";

/// What is on the canvas, in a copy that may be read often.
const COPY: &str = "const canvas = document.querySelector('canvas');
    const ctx = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    ctx.drawImage(canvas, 0, 0);";

/// The share of the last answer's points at which the canvas, with an image of this width, has within a pixel a colour as strong as those
/// of points, which skin has not.
fn drawn(page: &mut Page, width: u32) -> f64 {
    let script = format!(
        "(() => {{ {COPY}
        const scale = canvas.width / {width}, points = window.last.faces.flatMap((face) => face.points);
        const coloured = (data) => [0, 4, 8, 12, 16, 20, 24, 28, 32].some((i) => {{
            const rgb = [...data.slice(i, i + 3)];
            return Math.max(...rgb) > 170 && Math.max(...rgb) - Math.min(...rgb) > 110; }});
        return points.filter(([x, y]) => {{
            const [left, top] = [x, y].map((v) => Math.round((v + 0.5) * scale) - 1);
            return coloured(ctx.getImageData(left, top, 3, 3).data);
        }}).length / points.length; }})()"
    );
    page.value(&script).as_f64().unwrap()
}

/// Pixels of the canvas that are not as they were the last time.
fn changed(page: &mut Page) -> u64 {
    let script = format!(
        "(() => {{ {COPY}
        const all = ctx.getImageData(0, 0, canvas.width, canvas.height).data, before = window.before ?? [];
        let count = 0;
        for (let i = 0; i < all.length; i += 4) count += [0, 1, 2].some((c) => all[i + c] !== before[i + c]);
        window.before = all;
        return count; }})()"
    );
    page.value(&script).as_u64().unwrap()
}

/// Messages on the console, and addresses elsewhere, since the last time.
fn complaints(page: &mut Page, own: &str) -> Vec<String> {
    let complaint = |event: Value| {
        let about = &event["params"];
        match event["method"].as_str()? {
            "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => {
                Some(about.to_string())
            }
            "Network.requestWillBeSent" => {
                let url = about["request"]["url"].as_str()?;
                let inside = [own, "data:", "blob:", "about:"].iter().any(|known| url.starts_with(known));
                (!inside).then(|| url.to_string())
            }
            _ => None,
        }
    };
    page.events().into_iter().filter_map(complaint).collect()
}

/// Checks what is seen now.
fn check(page: &mut Page, own: &str, name: &str) {
    assert_eq!(complaints(page, own), [""; 0], "{name}");
    let overflow = page.value("document.documentElement.scrollWidth - window.innerWidth");
    assert!(overflow.as_i64().unwrap() <= 0, "{name}: {overflow} px too wide");
    let contrast = page.value(CONTRAST);
    assert!(contrast[0].as_f64().unwrap() >= 4.5, "{name}: contrast {contrast}");
    if let Some(keep) = std::env::var_os("STAR_SCREENSHOTS") {
        std::fs::create_dir_all(&keep).unwrap();
        let shot = page.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&keep).join(format!("serve-{name}.png")), bytes).unwrap();
    }
}

fn choose(page: &mut Page, file: &Path) {
    page.value("delete window.last");
    let input = page.call("Runtime.evaluate", json!({ "expression": "document.getElementById('file')" }));
    let to = json!({ "objectId": input["result"]["objectId"], "files": [file] });
    page.call("DOM.setFileInputFiles", to);
}

fn click(page: &mut Page, id: &str) {
    page.value(&format!("document.getElementById('{id}').click()"));
}

/// A video of the photograph, 640 x 480 pixels, in which it moves up and down: Motion JPEG is one JPEG file after the other.
fn clip(photograph: &Path, dir: &Path) -> PathBuf {
    let image = image::open(photograph).unwrap().to_rgb8();
    let image = image::imageops::resize(&image, 640, 640, image::imageops::FilterType::Triangle);
    let mut video = Vec::new();
    for frame in 0..30 {
        let top = 20.0 + 20.0 * (f64::from(frame) / 30.0 * std::f64::consts::TAU).sin();
        let seen = image::imageops::crop_imm(&image, 0, top as u32, 640, 480).to_image();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut video, 90).encode_image(&seen).unwrap();
    }
    let path = dir.join("camera.mjpeg");
    std::fs::write(&path, video).unwrap();
    path
}

#[test]
fn the_page_shows_landmarks_of_photographs_and_of_a_camera() {
    let Some(chromium) = chromium() else {
        println!("skipped: no chromium is installed");
        return;
    };
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    let photograph = photograph.canonicalize().unwrap();
    let predicted = common::ok(Path::new("."), &["predict", &photograph.to_string_lossy(), "--json", "-"]);
    let expected = common::faces(&predicted).remove(0);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let own = format!("http://{}/", server.address);
    let camera = clip(&photograph, dir.path());
    let arguments = [
        "--use-fake-device-for-media-stream".to_string(),
        "--use-fake-ui-for-media-stream".to_string(),
        format!("--use-file-for-fake-video-capture={}", camera.display()),
    ];
    let mut page = Page::open(&chromium, dir.path(), &arguments);
    let page = &mut page;
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": LISTEN }));
    for (size, width) in [([1300, 900], "wide"), ([400, 900], "narrow")] {
        for theme in ["light", "dark"] {
            let window =
                json!({ "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": false });
            page.call("Emulation.setDeviceMetricsOverride", window);
            let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
            page.call("Emulation.setEmulatedMedia", json!({ "features": features }));
            page.call("Page.navigate", json!({ "url": own }));
            page.until("document.getElementById('example')?.textContent.includes('curl') ?? false");
            page.value("document.querySelector('details').open = true");
            check(page, &own, &format!("{width}-{theme}-empty"));
            page.value("document.querySelector('details').open = false");

            choose(page, &photograph);
            page.until("document.getElementById('status').textContent === '1 face found.'");
            assert_eq!(page.value("window.last.faces[0].points"), expected["points"]);
            let share = drawn(page, 512);
            assert!(share > 0.9, "{width} {theme}: {share} of the points are to be seen");
            check(page, &own, &format!("{width}-{theme}-photograph"));
            changed(page);
            assert_eq!(changed(page), 0, "{width} {theme}: drawn twice alike");
            for what in ["ellipses", "axes", "sure"] {
                click(page, what);
                let count = changed(page);
                assert!(count > 40, "{width} {theme}: {what} changes {count} pixels");
                check(page, &own, &format!("{width}-{theme}-{what}"));
                click(page, what);
                assert_eq!(changed(page), count, "{width} {theme}: {what} is there once more");
            }
            click(page, "points");
            click(page, "lines");
            let share = drawn(page, 512);
            assert!(share < 0.5, "{width} {theme}: {share} of the points are to be seen, and are not wanted");
            click(page, "points");
            click(page, "lines");

            page.value("delete window.last");
            click(page, "webcam");
            page.until("Number(document.getElementById('rate').textContent) > 0");
            check(page, &own, &format!("{width}-{theme}-camera"));
            assert_eq!(page.value("document.getElementById('count').textContent"), "1");
            // Stopped, so that the last answer is what is drawn.
            click(page, "webcam");
            page.until("document.getElementById('status').textContent === 'Webcam off.'");
            let share = drawn(page, 640);
            assert!(
                share > 0.9,
                "{width} {theme}: {share} of the points are to be seen in the camera's frame"
            );
        }
    }
    by_keyboard_and_drop(page, &own, dir.path());
}

fn by_keyboard_and_drop(page: &mut Page, own: &str, dir: &Path) {
    page.call("Page.navigate", json!({ "url": own }));
    page.until("document.getElementById('example')?.textContent.includes('curl') ?? false");
    let mut reached = Vec::new();
    for _ in 0..10 {
        page.press("Tab", 9, "");
        reached.push(page.value("document.activeElement.id || document.activeElement.tagName"));
    }
    let all = ["choose", "webcam", "points", "lines", "ellipses", "axes", "sure", "rotation", "SUMMARY"];
    assert_eq!(reached[..all.len()], all);
    page.value("document.getElementById('webcam').focus()");
    page.press("Enter", 13, "\r");
    page.until("document.getElementById('count').textContent === '1'");
    page.press("Enter", 13, "\r");
    page.until("document.getElementById('webcam').getAttribute('aria-pressed') === 'false'");

    let photograph = include_bytes!("../assets/astronaut.jpg");
    let drop = format!(
        "(async () => {{ document.getElementById('count').textContent = '';
        const bytes = Uint8Array.from(atob('{}'), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], 'a.jpg', {{ type: 'image/jpeg' }}));
        document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer, bubbles: true, cancelable: true }})); }})()",
        STANDARD.encode(photograph)
    );
    page.value(&drop);
    page.until("document.getElementById('count').textContent === '1'");
    assert_eq!(complaints(page, own), [""; 0]);

    // What the server says is what is read; the browser itself notes the status on the console.
    let text = dir.join("text.png");
    std::fs::write(&text, "no picture").unwrap();
    choose(page, &text);
    page.until("document.querySelector('.wrong')?.textContent.startsWith('not a readable image: neither JPEG') ?? false");
    assert!(complaints(page, own).iter().all(|complaint| complaint.contains("422")));
}
