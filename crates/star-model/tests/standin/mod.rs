//! A stand-in for the Hugging Face Hub on the loopback interface: what hf-hub asks for, and every way to fail at it.
//!
//! Large files lie behind a redirect, as they do there. Faults are queued and used up one a request.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on should stop; each test uses what it needs"
)]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Answer with this status.
    Status(u16),
    /// Announce the whole body and close the connection after so many bytes of it.
    Cut(usize),
    /// Send so many bytes of the body and say that this is all of it.
    Short(usize),
    /// Send the whole file whatever range is asked for.
    NoRange,
    /// Send the right number of wrong bytes.
    Garbage,
    /// Send so many bytes of the body, then nothing for a minute.
    Hang(usize),
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
}

#[derive(Clone)]
struct File {
    bytes: Vec<u8>,
    commit: String,
    large: bool,
}

#[derive(Default)]
struct State {
    /// By path: `/owner/repo/resolve/revision/file`.
    files: HashMap<String, File>,
    /// Bodies of large files by path: `/cdn/digest`.
    bodies: HashMap<String, Vec<u8>>,
    /// From one beginning of a path to another.
    moved: Vec<(String, String)>,
    /// For requests that ask about a file (its first byte), one each.
    asking: VecDeque<Fault>,
    /// For requests of a file's body, one each.
    sending: VecDeque<Fault>,
    log: Vec<Request>,
}

/// The server; it runs until the test program ends.
pub(crate) struct StandIn {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, own) = (state.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (state, endpoint) = (shared.clone(), own.clone());
                std::thread::spawn(move || {
                    let connection = connection.unwrap();
                    // A client that hangs up is one of the things that happen.
                    let _ = answer(&connection, &connection, &state, &endpoint);
                });
            }
        });
        Self { endpoint, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts a file there as large ones lie: behind a redirect, under its SHA-256. Branch and commit lead to it.
    pub(crate) fn put(&self, repo: &str, branch: &str, commit: &str, file: &str, bytes: &[u8]) {
        self.place(repo, [branch, commit], file, bytes, true);
    }

    /// Puts a file there as small ones lie: without a redirect, under git's digest.
    pub(crate) fn put_small(&self, repo: &str, branch: &str, commit: &str, file: &str, bytes: &[u8]) {
        self.place(repo, [branch, commit], file, bytes, false);
    }

    fn place(&self, repo: &str, revisions: [&str; 2], path: &str, bytes: &[u8], large: bool) {
        let mut state = self.lock();
        for revision in revisions {
            let file = File { bytes: bytes.to_vec(), commit: revisions[1].to_string(), large };
            state.files.insert(format!("/{repo}/resolve/{revision}/{path}"), file);
        }
        state.bodies.insert(format!("/cdn/{}", sha256(bytes)), bytes.to_vec());
    }

    /// A repository that goes by another name now.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        self.lock().moved.push((format!("/{from}/"), format!("/{to}/")));
    }

    /// Faults for the next requests about a file.
    pub(crate) fn while_asking(&self, faults: &[Fault]) {
        self.lock().asking.extend(faults);
    }

    /// Faults for the next requests of a file's body.
    pub(crate) fn while_sending(&self, faults: &[Fault]) {
        self.lock().sending.extend(faults);
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().log)
    }

    /// Where the requests of bodies since the last call began.
    pub(crate) fn starts(&self) -> Vec<String> {
        let ranges = self.requests().into_iter().filter_map(|request| request.range);
        ranges.filter(|range| range != ASKING).collect()
    }
}

/// The range by which hf-hub asks about a file.
const ASKING: &str = "bytes=0-0";

fn answer(from: impl Read, mut to: impl Write, state: &Mutex<State>, endpoint: &str) -> Result<()> {
    let mut lines = BufReader::new(from).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let mut request = Request { path: path.clone(), range: None, token: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.to_string()),
            "authorization" => request.token = Some(value.to_string()),
            _ => {}
        }
    }
    let asking = request.range.as_deref() == Some(ASKING);
    let (fault, moved, file, body) = {
        let mut state = state.lock().unwrap();
        state.log.push(request.clone());
        let behind_redirect = path.starts_with("/cdn/");
        let file = state.files.get(&path).cloned();
        let direct = file.as_ref().is_some_and(|file| !file.large);
        // One fault an exchange: of the two requests that lead to a large file's body, the second.
        let fault = match (asking, behind_redirect || direct) {
            (true, false) => state.asking.pop_front(),
            (false, true) => state.sending.pop_front(),
            _ => None,
        };
        let moved = state
            .moved
            .iter()
            .find_map(|(old, new)| Some(format!("{new}{}", path.strip_prefix(old.as_str())?)));
        (fault.unwrap_or(Fault::None), moved, file, state.bodies.get(&path).cloned())
    };
    let mut head = |status: &str, headers: &str| {
        write!(to, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")?;
        to.flush()
    };
    if let Fault::Status(code) = fault {
        return head(&format!("{code} As Ordered"), "Content-Length: 0\r\n");
    }
    if let Some(moved) = moved {
        return head("307 Temporary Redirect", &format!("Location: {moved}\r\nContent-Length: 0\r\n"));
    }
    if let Some(file) = file {
        let digest = sha256(&file.bytes);
        let about = format!("X-Repo-Commit: {}\r\n", file.commit);
        if file.large {
            let length = file.bytes.len();
            let headers = format!(
                "{about}X-Linked-Etag: \"{digest}\"\r\nX-Linked-Size: {length}\r\nETag: \"pointer\"\r\n\
                 Location: {endpoint}/cdn/{digest}\r\nContent-Length: 0\r\n"
            );
            return head("302 Found", &headers);
        }
        let git = Sha1::new_with_prefix(format!("blob {}\0", file.bytes.len())).chain_update(&file.bytes);
        let about = format!("{about}ETag: \"{}\"\r\n", hex(&git.finalize()));
        return send(to, &file.bytes, request.range.as_deref(), fault, &about);
    }
    match body {
        Some(body) => send(to, &body, request.range.as_deref(), fault, "ETag: \"body\"\r\n"),
        None => head("404 Not Found", "Content-Length: 0\r\n"),
    }
}

/// Sends the part of `body` that was asked for, with the fault that is due.
fn send(mut to: impl Write, body: &[u8], range: Option<&str>, fault: Fault, headers: &str) -> Result<()> {
    let (first, last) = match range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
        Some((first, last)) if fault != Fault::NoRange => {
            (first.parse().unwrap(), last.parse().unwrap_or(body.len().saturating_sub(1)))
        }
        _ => (0usize, body.len().saturating_sub(1)),
    };
    if first >= body.len() {
        write!(to, "HTTP/1.1 416 Range Not Satisfiable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        return to.flush();
    }
    let mut part = body[first..=last].to_vec();
    if fault == Fault::Garbage {
        part.fill(b'?');
    }
    let announced = match fault {
        Fault::Short(count) => count.min(part.len()),
        _ => part.len(),
    };
    let status = if fault == Fault::NoRange { "200 OK" } else { "206 Partial Content" };
    write!(
        to,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {announced}\r\n\
         Content-Range: bytes {first}-{last}/{}\r\n\r\n",
        body.len()
    )?;
    let sent = match fault {
        Fault::Cut(count) | Fault::Short(count) | Fault::Hang(count) => count.min(part.len()),
        _ => part.len(),
    };
    to.write_all(&part[..sent])?;
    to.flush()?;
    if let Fault::Hang(_) = fault {
        std::thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}
