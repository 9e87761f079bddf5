//! Amazon's SDK, as every client of it here begins.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Credentials, region and endpoint by the SDK's usual chain. Each request is tried `tries` times, with the SDK's exponential
/// backoff and jitter between them.
pub(super) async fn shared(timeouts: TimeoutConfig, tries: u32) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(tries))
        .timeout_config(timeouts)
        .load()
        .await
}
