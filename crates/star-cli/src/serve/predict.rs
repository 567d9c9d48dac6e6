//! `POST /v1/predict`: an image in, what `star predict` writes of it out.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use star_data::decode::{self, Upright};
use star_data::{Error, Scheme};
use star_predict::detector::FaceDetector;
use star_predict::records::{self, ImageRecord};
use star_predict::{Predictor, failure};
use tokio::time::{Instant, timeout_at};

use super::question::{Kind, Options};
use super::refusal::Refusal;
use super::workers::{Place, Workers};

/// What the image is called in the answer.
const NAME: &str = "request";

/// How long a refused request may take to end: an answer before its end is lost to some clients.
const DRAIN: Duration = Duration::from_secs(2);

/// What answers requests.
pub(super) struct Service {
    pub(super) predictor: Predictor,
    /// The predictor's own.
    pub(super) detector: FaceDetector,
    /// Whether images are turned where nothing else is asked.
    pub(super) any_rotation: bool,
    pub(super) scheme: Scheme,
    pub(super) workers: Workers,
    /// Of one request, from its head to its answer.
    pub(super) timeout: Duration,
    pub(super) max_bytes: usize,
    pub(super) max_pixels: u64,
}

/// Answers a request with the faces of its image.
pub(super) async fn predict(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    match answer(&service, &parts, &mut body).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(refusal) => {
            // Who asked whether to go on is not told to.
            if !parts.headers.contains_key(header::EXPECT) {
                drain(&mut body, service.max_bytes).await;
            }
            refusal.into_response()
        }
    }
}

async fn answer(service: &Arc<Service>, parts: &Parts, body: &mut Body) -> Result<String, Refusal> {
    let deadline = Instant::now() + service.timeout;
    let kind = Kind::of(&parts.headers)?;
    let options = Options::of(&parts.uri)?;
    // Before the body: no more of them are in memory than there are places.
    let place = service.workers.enter();
    let place: Place = place.ok_or_else(|| Refusal::busy("all places are taken (--parallel, --queue)"))?;
    let seconds = service.timeout.as_secs();
    let body = timeout_at(deadline, received(body, kind.most(service.max_bytes))).await.map_err(|_| {
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {seconds} s (--timeout)"),
        )
    })??;
    let own = Arc::clone(service);
    let work = place.work(move || own.look(kind, body, options));
    let result = timeout_at(deadline, work).await;
    let result = result.map_err(|_| Refusal::busy(format!("not done within {seconds} s (--timeout)")))?;
    result.unwrap_or_else(|| Err(fault("the prediction panicked")))
}

impl Service {
    fn look(&self, kind: Kind, body: Vec<u8>, options: Options) -> Result<String, Refusal> {
        let (file, options) = kind.read(body, options)?;
        if file.len() > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        let name = Path::new(NAME);
        let [width, height] = decode::size(&file, name).map_err(unreadable)?;
        if u64::from(width) * u64::from(height) > self.max_pixels {
            let most = self.max_pixels;
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("{width}x{height} pixels are more than {most} (--max-pixels)"),
            ));
        }
        let image = decode::decode_bytes_upright(&file, name, Upright::Oriented).map_err(unreadable)?.image;
        drop(file);
        let turned = options.any_rotation.unwrap_or(self.any_rotation);
        let faces = match (&options.boxes, options.min_score) {
            (Some(boxes), _) => self
                .predictor
                .predict_in(&image, boxes)
                .map_err(|e| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, failure::describe(&e)))?,
            (None, Some(least)) => {
                let detector = FaceDetector::new(least).map_err(|e| Refusal::bad(failure::describe(&e)))?;
                self.predictor
                    .predict_by(&detector, turned, &image)
                    .map_err(|e| fault(failure::describe(&e)))?
            }
            (None, None) => self
                .predictor
                .predict_by(&self.detector, turned, &image)
                .map_err(|e| fault(failure::describe(&e)))?,
        };
        // As the one line that `star predict` writes of one image.
        let record = ImageRecord {
            keypoints: records::keypoints(&self.scheme),
            ..crate::predict::record(&self.predictor, name, &faces)
        };
        record.to_json().map_err(|e| fault(failure::describe(&e)))
    }
}

/// Not the request's fault, so a person at the server should see it, too.
fn fault(message: impl Into<String>) -> Refusal {
    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message);
    say!("error: {}", refusal.message);
    refusal
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the image has more than {most} bytes (--max-bytes)"))
}

fn unreadable(error: Error) -> Refusal {
    let message = match error {
        Error::Decode { reason, .. } => format!("not a readable image: {reason}"),
        other => other.to_string(),
    };
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// The whole body, of at most so many bytes.
async fn received(body: &mut Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let stated = body.size_hint().lower();
    if stated > most as u64 {
        return Err(too_large(most));
    }
    let mut bytes = Vec::with_capacity(stated as usize);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| Refusal::bad(format!("the body ended early: {error}")))?;
        let Some(part) = frame.data_ref() else { continue };
        if part.len() > most - bytes.len() {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// Throws the rest of a body away, if it is not too much of it.
async fn drain(body: &mut Body, most: usize) {
    let mut left = most.saturating_mul(4);
    let all = async {
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            let length = frame.data_ref().map_or(0, |part| part.len());
            if length > left {
                return;
            }
            left -= length;
        }
    };
    let _ = tokio::time::timeout(DRAIN, all).await;
}
