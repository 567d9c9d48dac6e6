//! What no page of the web may do with a server on one's own machine: reach it under another name (DNS rebinding), or ask it from another
//! site.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

/// What a browser is told of every answer: nothing is loaded from elsewhere, and nothing is shown in another page.
const POLICY: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // A newer program has another page, and faces are nobody's to keep.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Lets a request through that is no other site's, where `local` says that the server is for its own machine alone.
pub(super) async fn guard(State(local): State<bool>, request: Request, next: Next) -> Response {
    let allowed = if local { check(request.headers()) } else { Ok(()) };
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(message) => Refusal::new(StatusCode::FORBIDDEN, message).into_response(),
    };
    response.headers_mut().extend(POLICY);
    response
}

fn check(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("not text"));
    let host = text(header::HOST).unwrap_or("nothing");
    let authority: Option<Authority> = host.parse().ok();
    if !authority.is_some_and(|authority| is_local(authority.host())) {
        return Err(format!("Host: expected localhost or an address of this machine's own, got {host}"));
    }
    match text(header::ORIGIN) {
        Some(origin) if origin.strip_prefix("http://") != Some(host) => {
            Err(format!("Origin: expected http://{host}, got {origin}: other sites may not ask"))
        }
        _ => Ok(()),
    }
}

/// Whether a name can be no other machine's.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_and_other_sites_are_refused() {
        let checked = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            check(&headers)
        };
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.8.9.1", "[::1]:8080"] {
            checked(host, None).unwrap();
        }
        checked("localhost:80", Some("http://localhost:80")).unwrap();
        for host in
            ["evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "192.168.0.1", "", "@"]
        {
            assert!(checked(host, None).unwrap_err().starts_with("Host: expected localhost"), "{host}");
        }
        for origin in
            ["http://evil.example", "null", "http://localhost:81", "https://localhost:80", "file://"]
        {
            let message = checked("localhost:80", Some(origin)).unwrap_err();
            assert!(message.starts_with("Origin: expected http://localhost:80, got "), "{message}");
        }
        assert!(check(&HeaderMap::new()).unwrap_err().contains("got nothing"));
    }
}
