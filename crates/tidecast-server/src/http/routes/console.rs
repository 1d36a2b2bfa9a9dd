//! The console at `/` with its files, and the JavaScript module for other pages.
//!
//! The files are part of the program and are served as they are, without a build step. They refer to each other relative to
//! the page, so that a proxy may serve the hub under any path.

use std::sync::Arc;

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::app::App;

/// The content security policy: no external and no inline content, and no framing, because clicks on a page that can publish
/// must not be hijacked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of `src/ui`, and its path.
#[derive(Debug, Clone, Copy)]
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
    /// Which pages may use it.
    audience: Audience,
}

/// The pages that may use a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// The hub's own pages.
    OwnPages,
    /// Pages of every origin, which may import it as a module.
    EveryPage,
}

macro_rules! file {
    ($path:expr, $name:literal, $content_type:literal) => {
        File {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("../../ui/", $name)),
            audience: Audience::OwnPages,
        }
    };
    ($name:literal, $content_type:literal) => {
        file!(concat!("/console/", $name), $name, $content_type)
    };
}

const FILES: [File; 12] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    File { audience: Audience::EveryPage, ..file!("/tidecast.js", "tidecast.js", "text/javascript; charset=utf-8") },
    file!("icon.svg", "image/svg+xml"),
    file!("console.css", "text/css; charset=utf-8"),
    file!("console.js", "text/javascript; charset=utf-8"),
    file!("channels.js", "text/javascript; charset=utf-8"),
    file!("stream.js", "text/javascript; charset=utf-8"),
    file!("events.js", "text/javascript; charset=utf-8"),
    file!("json.js", "text/javascript; charset=utf-8"),
    file!("plot.js", "text/javascript; charset=utf-8"),
    file!("publish.js", "text/javascript; charset=utf-8"),
    file!("snippets.js", "text/javascript; charset=utf-8"),
];

/// Returns the path and the handler of each file.
pub(crate) fn routes() -> impl Iterator<Item = (&'static str, MethodRouter<Arc<App>>)> {
    FILES.into_iter().map(|file| (file.path, get(async move || file.into_response())))
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let mut head = HeaderMap::new();
        let lines: [(HeaderName, &'static str); 5] = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // Keeps the page of a newer hub from being mixed with the script of an older one.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        head.extend(lines.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if self.audience == Audience::EveryPage {
            // The file has no secrets, and a page can import a module of another origin only with this header.
            head.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
            head.insert(resource_policy, HeaderValue::from_static("cross-origin"));
        }
        (head, self.text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::FILES;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
        let there: BTreeSet<String> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let name = |path: &str| if path == "/" { "index.html" } else { path.rsplit('/').next().unwrap() }.to_owned();
        assert_eq!(FILES.iter().map(|file| name(file.path)).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn no_file_refers_to_another_origin() {
        for file in &FILES {
            for attribute in ["src=\"", "href=\"", "from \"", "import(\"", "url("] {
                for (at, _) in file.text.match_indices(attribute) {
                    let address = &file.text[at + attribute.len()..];
                    let address = address.split(['"', ')']).next().unwrap();
                    let is_external = address.contains("//") && !address.starts_with("${");
                    assert!(!is_external, "{} takes {address}", file.path);
                }
            }
        }
    }
}
