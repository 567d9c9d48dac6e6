//! `star serve`: the same numbers as `star predict`, an answer to everything that can be wrong, none lost when too much is asked, and an
//! end that waits for what is under way. What is answered is held to the OpenAPI document.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::server::{Answer, Server};
use serde_json::{Value, json};

fn photograph() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png")
}

/// What `star predict` writes of an image, which is called there as the server calls it.
fn predicted(path: &Path, arguments: &[&str]) -> Value {
    let name = path.to_string_lossy();
    let line = common::ok(Path::new("."), &[&["predict", &*name, "--json", "-"], arguments].concat());
    serde_json::from_str(&line.replace(&*name, "request")).unwrap()
}

/// The document itself, as it is served.
struct Interface(Value);

impl Interface {
    fn of(server: &Server) -> Self {
        Self(server.get("/openapi.json").json())
    }

    /// Checks that an answer is one that the document has for this.
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let responses = &self.0["paths"][path][method]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(
            response.is_object(),
            "{method} {path}: {} is not in the document: {}",
            answer.status,
            answer.body
        );
        for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase())
        {
            assert!(answer.header(&name).is_some(), "{method} {path}: no {name} in {:?}", answer.headers);
        }
        let (kind, content) = response["content"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(answer.header("content-type"), Some(kind.as_str()));
        self.valid(&content["schema"], &answer.json(), &format!("{method} {path} {}", answer.status));
    }

    /// The part of JSON Schema that the document uses.
    fn valid(&self, schema: &Value, value: &Value, place: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let found = self.0.pointer(name.strip_prefix('#').unwrap());
            return self.valid(found.unwrap_or_else(|| panic!("{name} is missing")), value, place);
        }
        let is = match schema["type"].as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64(),
            "boolean" => value.is_boolean(),
            other => panic!("{other}"),
        };
        assert!(is, "{place}: expected {}, got {value}", schema["type"]);
        if let Some(fixed) = schema.get("const") {
            assert_eq!(fixed, value, "{place}");
        }
        if let Some(number) = value.as_f64() {
            assert!(schema["minimum"].as_f64().is_none_or(|least| number >= least), "{place}: {number}");
            assert!(schema["maximum"].as_f64().is_none_or(|most| number <= most), "{place}: {number}");
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            self.valid(&schema["items"], item, &format!("{place}[{i}]"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: no {name} in {value}");
        }
        for (name, inner) in value.as_object().into_iter().flatten() {
            let Some(property) = schema["properties"].get(name) else {
                assert!(schema["additionalProperties"] != false, "{place}: {name} is not in the document");
                continue;
            };
            self.valid(property, inner, &format!("{place}.{name}"));
        }
    }
}

#[test]
fn answers_are_those_of_predict_and_of_the_document() {
    let (server, file) = (Server::start(&[]), std::fs::read(photograph()).unwrap());
    let interface = Interface::of(&server);
    let expected = predicted(&photograph(), &[]);
    assert_eq!(expected["faces"].as_array().unwrap().len(), 1);
    let text = STANDARD.encode(&file);
    let json =
        |question: Value| server.post("", "application/json; charset=utf-8", question.to_string().as_bytes());
    for answer in [
        server.post("", "image/png", &file),
        server.post("?min_score=0.5&any_rotation=true", "application/octet-stream", &file),
        server.ask("POST", "/v1/predict", &[], &file),
        json(json!({ "image": text, "min_score": 0.5 })),
        json(json!({ "image": format!("data:image/png;base64,{text}"), "any_rotation": true })),
    ] {
        assert_eq!(answer.status, 200, "{}", answer.body);
        interface.check("post", "/v1/predict", &answer);
        assert_eq!(answer.json(), expected);
    }
    let boxed = predicted(&photograph(), &["--box", "180,75,90,90", "--box", "170,70,100,110"]);
    assert_eq!(boxed["faces"].as_array().unwrap().len(), 2);
    let boxes = json!([[180, 75, 90, 90], [170, 70, 100, 110]]);
    for answer in [
        server.post("?boxes=180,75,90,90&boxes=170,70,100,110", "image/png", &file),
        json(json!({ "image": text, "boxes": boxes })),
    ] {
        interface.check("post", "/v1/predict", &answer);
        assert_eq!(answer.json(), boxed);
    }
    // Nothing is that sure of a face.
    assert_eq!(server.post("?min_score=0.99999", "image/png", &file).json()["faces"], json!([]));

    // Small and on its head it is found only where it is looked for.
    let mut turned = std::io::Cursor::new(Vec::new());
    let image = image::load_from_memory(&file).unwrap().thumbnail(153, 153).rotate180();
    image.write_to(&mut turned, image::ImageFormat::Png).unwrap();
    let faces = |query: &str| {
        let answer = server.post(query, "image/png", turned.get_ref()).json();
        answer["faces"].as_array().unwrap().len()
    };
    assert_eq!((faces(""), faces("?any_rotation=true")), (0, 1));

    let model = server.get("/v1/model");
    interface.check("get", "/v1/model", &model);
    // Those of an answer, and the colours that drawings have them in.
    let mut keypoints = model.json()["keypoints"].clone();
    for keypoint in keypoints.as_array_mut().unwrap() {
        let colour = keypoint.as_object_mut().unwrap().remove("colour").unwrap();
        assert!(colour.as_str().unwrap().starts_with('#'), "{colour}");
    }
    assert_eq!(keypoints, expected["keypoints"]);
    for path in ["/health", "/openapi.json"] {
        interface.check("get", path, &server.get(path));
    }
    assert_eq!(server.get("/health").json()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn everything_that_is_wrong_is_said() {
    let file = std::fs::read(photograph()).unwrap();
    let most = file.len().to_string();
    let server = Server::start(&["--max-bytes", &most, "--max-pixels", "262144", "--timeout", "2"]);
    let interface = Interface::of(&server);
    let refused = |answer: Answer, status: u16, part: &str| {
        let error = answer.json()["error"].as_str().unwrap().to_string();
        assert!(
            answer.status == status && error.contains(part),
            "{status} {part}: {} {error}",
            answer.status
        );
        answer
    };
    let bomb = b"P6 15000 15000 255\n";
    let wide = [&b"P6 513 512 255\n"[..], &[0; 513 * 512 * 3]].concat();
    let long = vec![b'x'; file.len() + 1];
    let longer = json!({ "image": STANDARD.encode(&long) }).to_string();
    for (query, kind, body, status, part) in [
        ("", "application/json", &b"{\"image\": "[..], 400, "JSON: "),
        (
            "",
            "application/json",
            b"{\"image\": \"AQID\", \"file\": \"/etc/passwd\"}",
            400,
            "unknown field `file`",
        ),
        ("", "application/json", b"{\"image\": \"*\"}", 400, "image: expected base64"),
        ("?min_score=2", "image/png", &file, 400, "min_score: expected a probability"),
        ("?min_score=x", "image/png", &file, 400, "min_score: expected a number, got x"),
        ("?file=/etc/passwd", "image/png", &file, 400, "file: expected min_score"),
        ("?boxes=1,2,3", "image/png", &file, 400, "boxes: expected four numbers"),
        ("?boxes=900,2,3,4", "image/png", &file, 422, "box 900,2,3,4: expected one that shows part"),
        ("", "image/png", &long, 413, "bytes (--max-bytes)"),
        ("", "application/json", longer.as_bytes(), 413, "bytes (--max-bytes)"),
        ("", "application/x-www-form-urlencoded", &file, 415, "expected image/*"),
        ("", "text/plain", &file, 415, "got text/plain"),
        ("", "image/png", b"", 422, "the file is empty"),
        ("", "image/png", b"no picture at all", 422, "neither JPEG, PNG"),
        ("", "image/heic", b"\0\0\0\x18ftypheic", 422, "this is HEIC: convert it to JPEG or PNG"),
        ("", "image/png", &file[..file.len() / 2], 422, "not a readable image"),
        ("", "image/x-portable-pixmap", &wide, 422, "513x512 pixels are more than 262144 (--max-pixels)"),
        ("", "image/x-portable-pixmap", bomb, 422, "more than a file of 19 bytes can hold"),
    ] {
        interface.check("post", "/v1/predict", &refused(server.post(query, kind, body), status, part));
    }
    refused(server.get("/../../etc/passwd"), 404, "nothing is at");
    refused(server.get("/v1/predict"), 405, "takes no GET");
    // Another server's name, and another site: even where what is asked for is harmless.
    let with = |headers: &[(&str, &str)]| server.ask("POST", "/v1/predict", headers, &file);
    let port = server.address.port();
    let (own, local) = (format!("http://{}", server.address), format!("localhost:{port}"));
    let foreign = refused(with(&[("Host", "rebound.example")]), 403, "Host: expected localhost");
    interface.check("post", "/v1/predict", &foreign);
    refused(with(&[("Origin", "http://evil.example")]), 403, "other sites may not ask");
    refused(with(&[("Origin", "null")]), 403, "other sites may not ask");
    refused(server.ask("GET", "/", &[("Host", "rebound.example")], b""), 403, "Host: expected");
    assert_eq!(with(&[("Origin", &own)]).status, 200);
    let origin = format!("http://{local}");
    let answer = with(&[("Host", &local), ("Origin", &origin)]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));

    // A body that does not come, by one that says how long it is.
    let mut slow = server.connect();
    slow.write_all(server.head("POST", "/v1/predict", &[], 1000).as_bytes()).unwrap();
    slow.write_all(b"some of it").unwrap();
    interface.check("post", "/v1/predict", &refused(Answer::read(slow), 408, "within 2 s"));

    // So large that every turn of it takes longer than a second.
    let hurried = Server::start(&["--timeout", "1"]);
    let mut large = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(5000, 5000).write_to(&mut large, image::ImageFormat::Png).unwrap();
    let late = hurried.post("?any_rotation=true", "image/png", large.get_ref());
    interface.check("post", "/v1/predict", &refused(late, 503, "not done within 1 s (--timeout)"));
}

#[test]
fn too_many_requests_are_told_to_come_again_and_none_is_lost() {
    let (server, file) =
        (Server::start(&["--parallel", "1", "--queue", "2"]), std::fs::read(photograph()).unwrap());
    let (interface, expected) = (Interface::of(&server), predicted(&photograph(), &[]));
    let ask = || {
        let answer = server.post("", "image/png", &file);
        interface.check("post", "/v1/predict", &answer);
        match answer.status {
            200 => assert_eq!(answer.json(), expected),
            503 => assert!(answer.body.contains("--queue"), "{}", answer.body),
            other => panic!("{other}: {}", answer.body),
        }
        answer.status
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(|| [(); 3].map(|()| ask()))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(statuses.len(), 48);
    assert!((3..48).contains(&done), "{statuses:?}");
    // Afterwards it is as it was.
    assert_eq!(ask(), 200);
}

#[test]
fn a_stop_waits_for_the_requests_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lying.png");
    // On its side, and so looked for twelve times: what is under way stays so for a while.
    image::open(photograph()).unwrap().rotate90().save(&path).unwrap();
    let file = std::fs::read(&path).unwrap();
    let expected = predicted(&path, &["--any-rotation"]);
    let server = Server::start(&["--parallel", "1"]);
    // An idle connection, as browsers keep them, holds nothing up.
    let _idle = server.connect();
    let head = server.head("POST", "/v1/predict?any_rotation=true", &[], file.len());
    // One is at work, one waits, and of one the end is missing when the server is told to stop.
    let (most, end) = file.split_at(file.len() - 1);
    let sent = [true, true, false].map(|whole| {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(if whole { &file } else { most }).unwrap();
        stream
    });
    std::thread::sleep(Duration::from_millis(100));
    server.terminate();
    std::thread::sleep(Duration::from_millis(100));
    (&sent[2]).write_all(end).unwrap();
    for stream in sent {
        let answer = Answer::read(stream);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json(), expected);
    }
    let port = server.address.port().to_string();
    let (status, said) = server.ended();
    assert!(status.success(), "{status}: {said}");
    assert!(
        said.contains("stopping when the requests under way are answered") && said.ends_with("stopped\n"),
        "{said}"
    );
    // Its port is free again.
    let next = Server::start(&["--port", &port]);
    assert_eq!(next.get("/health").status, 200);
}

#[test]
fn an_address_that_is_taken_and_options_that_mean_nothing_are_refused() {
    let server = Server::start(&[]);
    let port = server.address.port().to_string();
    let message = common::refused(Path::new("."), &["serve", "--port", &port]);
    common::assert_contains(&message, &["listening on 127.0.0.1:", "--port"]);
    assert!(common::refused(Path::new("."), &["serve", "--min-score", "7"]).contains("--min-score"));
    assert!(common::refused(Path::new("."), &["serve", "--weights", "no/such"]).contains("no/such"));
}
