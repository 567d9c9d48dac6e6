//! What is found where: the page, its parts, and what is there for programs.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use star_data::scheme::Edge;
use star_predict::overlay::Palette;
use star_predict::records::{self, Keypoint};

use super::guard;
use super::predict::{self, Service};
use super::refusal::Refusal;

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/app.js");
const DRAWING: &str = include_str!("page/drawing.js");
const OPENAPI: &str = include_str!("openapi.json");

/// Everything that is answered; `local` where only this machine may ask.
pub(super) fn router(service: Arc<Service>, local: bool) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/app.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/drawing.js", file("text/javascript; charset=utf-8", DRAWING))
        .route("/openapi.json", file("application/json", OPENAPI))
        .route("/health", get(health))
        .route("/v1/model", get(model))
        .route("/v1/predict", post(predict::predict))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(local, guard::guard))
        .with_state(service)
}

async fn health() -> Response {
    answer(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// What the landmarks are called, which of them a line joins, and the colours that drawings have them in.
async fn model(State(service): State<Arc<Service>>) -> Response {
    let scheme = &service.scheme;
    let palette = Palette::of(scheme);
    let edge = |(edge, colour): (&Edge, &[u8; 3])| json!({ "name": edge.name, "points": edge.points, "closed": edge.closed, "colour": hex(colour) });
    let keypoint = |(keypoint, colour): (Keypoint, &[u8; 3])| json!({ "name": keypoint.name, "group": keypoint.group, "colour": hex(colour) });
    answer(json!({
        "scheme": scheme.name,
        "keypoints": records::keypoints(scheme).into_iter().zip(&palette.points).map(keypoint).collect::<Vec<_>>(),
        "edges": scheme.edges.iter().zip(&palette.edges).map(edge).collect::<Vec<_>>(),
    }))
}

fn hex([r, g, b]: &[u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn answer(json: serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

async fn missing(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is at {}: /openapi.json says what there is", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let path = uri.path();
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} takes no {method}: /openapi.json says what it takes"),
    )
}
