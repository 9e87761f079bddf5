//! Amazon's SDK, as every client of it here begins.

#[cfg(feature = "transcribe")]
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};

/// Credentials, region and endpoint by the SDK's usual chain. Each request is tried `tries` times, with the SDK's exponential
/// backoff and jitter between them.
pub(super) async fn shared(timeouts: TimeoutConfig, tries: u32) -> SdkConfig {
    begun(timeouts, tries).load().await
}

/// The same where the region is known already: nobody is asked for it, not even the network.
#[cfg(feature = "transcribe")]
pub(super) async fn shared_in(region: Region, timeouts: TimeoutConfig, tries: u32) -> SdkConfig {
    begun(timeouts, tries).region(region).load().await
}

fn begun(timeouts: TimeoutConfig, tries: u32) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::standard().with_max_attempts(tries)).timeout_config(timeouts)
}
