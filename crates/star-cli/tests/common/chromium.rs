//! A Chromium that is told what to do, message by message (the DevTools protocol over a pipe).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// What it is told by every test: no window, and nothing of its own over the network.
pub(crate) const QUIET: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// The smallest contrast of a text with what is behind it, by WCAG 2, and the text. In a drawing that is the text in its ink: what stands
/// on a coloured area has nothing opaque among its parents.
pub(crate) const CONTRAST: &str = r"(() => {
    const parse = (text) => { const v = text.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour[3] === 1) return colour;
        }
        throw new Error('nothing opaque');
    };
    let least = [99, ''];
    for (const element of document.querySelectorAll('body *')) {
        const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
        if (!text || !element.checkVisibility()) continue;
        const style = getComputedStyle(element), ground = behind(element);
        if (element instanceof SVGElement && style.fill !== style.color) continue;
        const opacity = Number(style.opacity);
        const seen = parse(style.color).map((v, k) => (k < 3 ? opacity * v + (1 - opacity) * ground[k] : v));
        const pair = [seen, ground].map(light).sort((a, b) => b - a);
        const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
        if (contrast < least[0]) least = [contrast, text];
    }
    return least;
})()";

/// The Chromium of this machine.
pub(crate) fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name))).find(|path| path.is_file())
}

/// A browser with one page.
pub(crate) struct Page {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    id: u64,
    /// What was told without having been asked for.
    events: VecDeque<Value>,
}

impl Page {
    /// Starts `program` with a profile in `dir`.
    pub(crate) fn open(program: &Path, dir: &Path, arguments: &[String]) -> Self {
        // The browser reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(program)
            .args(QUIET)
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (send, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                let _ = send
                    .send(serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message)).unwrap());
                message.clear();
            }
        });
        let mut page = Self { child, to, from, session: Value::Null, id: 0, events: VecDeque::new() };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            page.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page
    }

    /// Tells the browser something, and waits until it is done.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.id += 1;
        let mut message = json!({ "id": self.id, "method": method, "params": parameters });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut message =
                self.from.recv_timeout(left).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == self.id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    /// What an expression of the page's comes to.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let options = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", options);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != true {
            if start.elapsed() > PATIENCE {
                let seen = self.value("document.body.innerText");
                panic!("not within {PATIENCE:?}: {expression}\n{}", seen.as_str().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key that writes `text`, if any.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: &str) {
        let key = json!({ "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let mut event = key.clone();
            event["type"] = kind.into();
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// What was told without having been asked for, since the last time.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
