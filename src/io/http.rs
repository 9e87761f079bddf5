//! What requests of ours have in common: which addresses may be asked, how one is shown, and what went wrong in words that may
//! stand in a log.

use reqwest::Url;

/// Reads an address with the scheme `by_tls`, or `in_the_clear` with a loopback host. No user name, no fragment.
pub(super) fn url(text: &str, by_tls: &str, in_the_clear: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(is_plain)?;
    (url.scheme() == by_tls || (url.scheme() == in_the_clear && is_here(&url))).then_some(url)
}

/// It names a host, and neither a user nor a fragment.
pub(super) fn is_plain(url: &Url) -> bool {
    url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

/// It is this machine's.
pub(super) fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// As it may be shown: a query can be a secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.query().is_some() {
        url.set_query(Some("masked"));
    }
    url.into()
}

/// The innermost cause, which says what happened, without the URL, which may carry a secret.
pub(super) fn cause(why: reqwest::Error) -> String {
    let why = why.without_url();
    let mut cause: &dyn std::error::Error = &why;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
