//! `GET /console`: the operators' page. One file and nothing from elsewhere; the token is typed in and kept in the page's memory alone.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::App;

const PAGE: &str = include_str!("console.html");

/// What the page may do: run its own script, wear its own style, ask this gateway. Nothing else, from nowhere else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash_of("script"), hash_of("style"));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console", get(console))
}

/// Asks for no token: it holds nothing but the page, which asks with the token that is typed into it.
async fn console() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE)).into_response()
}

/// The hash by which a policy names what stands inside the page's only element of this name.
fn hash_of(element: &str) -> String {
    let (from, to) = (format!("<{element}>"), format!("</{element}>"));
    let inside = PAGE.split_once(from.as_str()).and_then(|(_, rest)| rest.split_once(to.as_str())).map_or("", |(inside, _)| inside);
    format!("sha256-{}", base64_simd::STANDARD.encode_to_string(Sha256::digest(inside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_asks_nobody_else() {
        for element in ["<script", "<style"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        for elsewhere in
            ["://", " src=", "@import", "url(", "innerHTML", "localStorage", "sessionStorage", "document.cookie", "style=", "onclick"]
        {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
        let empty = format!("sha256-{}", base64_simd::STANDARD.encode_to_string(Sha256::digest("")));
        assert!(POLICY.contains(&hash_of("script")) && POLICY.contains(&hash_of("style")) && !POLICY.contains(&empty), "{}", *POLICY);
    }
}
