//! What went wrong with a request of ours, in words that may stand in a log.

/// The innermost cause, which says what happened, without the URL, which may carry a secret.
pub(super) fn cause(why: reqwest::Error) -> String {
    let why = why.without_url();
    let mut cause: &dyn std::error::Error = &why;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
