//! The origin of the page that sent a request.
//!
//! Without a key, a browser on this machine must not publish for every page that it shows. So a request that changes
//! something must come from a page of the hub's own, from an allowed origin, or from no page.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{cause::RefusalCause, refusal::Refusal};

/// The headers by which a browser describes the page. Constants, so that a look-up does not parse the names.
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Refuses a change that a page of another origin requests.
pub(super) fn check_change(headers: &HeaderMap, allowed: &[HeaderValue]) -> Result<(), Refusal> {
    match headers.get(header::ORIGIN) {
        Some(origin) => check_origin(origin, headers, allowed, "do this"),
        // A browser sends `Origin` with every change; a request without it can still be another page's.
        None if is_from_other_page(headers) => Err(unnamed_origin()),
        None => Ok(()),
    }
}

/// Refuses a read that a page of another origin requests. An `<img>` or a WebSocket of another site could not read the
/// answer, but would occupy a stream.
pub(super) fn check_read(headers: &HeaderMap, allowed: &[HeaderValue]) -> Result<(), Refusal> {
    // Only the browser sets this header, not the page. A proxy may have changed the host that the origin is compared with.
    if headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    match headers.get(header::ORIGIN) {
        Some(origin) => check_origin(origin, headers, allowed, "read this without a ticket"),
        // A user may follow a link from another site; a frame may not load the hub.
        None if is_from_other_page(headers) && !is_followed_link(headers) => Err(unnamed_origin()),
        None => Ok(()),
    }
}

fn check_origin(
    origin: &HeaderValue,
    headers: &HeaderMap,
    allowed: &[HeaderValue],
    action: &str,
) -> Result<(), Refusal> {
    let is_own = headers.get(header::HOST).is_some_and(|host| is_own(origin.as_bytes(), host.as_bytes()));
    if is_own || allowed.contains(origin) {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let why = if origin == "null" {
        format!(
            "a page whose origin is `null`, because it was opened as a file or in a sandbox, may not {action}; serve it \
             over http"
        )
    } else {
        format!("a page of {origin} may not {action}; start the hub with --cors-origin {origin} to allow it")
    };
    Err(Refusal::new(RefusalCause::Origin, why))
}

/// Returns whether a browser sent a request for a page of another site, or of another origin of the same site.
fn is_from_other_page(headers: &HeaderMap) -> bool {
    headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn is_followed_link(headers: &HeaderMap) -> bool {
    headers.get(&SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
        && headers.get(&SEC_FETCH_DEST).is_some_and(|destination| destination == "document")
}

/// Returns the refusal of a request whose browser does not name the page's origin, as for an `<img>`.
fn unnamed_origin() -> Refusal {
    Refusal::new(
        RefusalCause::Origin,
        "a page of another origin sent this request (`Sec-Fetch-Site`): only the hub's own pages, programs, and pages of \
         an origin in --cors-origin may",
    )
}

/// Returns whether a page's origin is the host that the request names.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let after_scheme = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    after_scheme.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn an_origin_is_own_only_if_host_and_port_are() {
        assert!(is_own(b"http://localhost:8000", b"localhost:8000"));
        assert!(is_own(b"https://hub.example", b"HUB.example"));
        for origin in
            [&b"null"[..], b"", b"http://localhost:5000", b"http://localhost:8000.evil.example", b"localhost:8000"]
        {
            assert!(!is_own(origin, b"localhost:8000"));
        }
    }
}
