//! Keys that only AWS KMS opens.
//!
//! A recording's beginning never waits for KMS (P7): the [`Ring`] has one key ready, made ahead, under which each recording's
//! own key is wrapped here. A task of its own replaces it in time. Only a spool of an earlier process makes anybody ask.
//! If KMS is away the key at hand is used on, up to a bound; then recordings fail, closed, until it is back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Builder;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::header::Outer;
use super::keys::{KmsSpec, NotFetched, Wrapping};
use crate::io::aws::shared;

/// Recordings under one key, after which it is replaced.
const USES: u64 = 10_000;
/// If it cannot be replaced it is used so many times as long, and as often, as was meant; then no more.
const OVERUSE: u32 = 4;
/// Keys kept at hand besides the current one: of recordings that are not stored yet.
const KEPT_MAX: usize = 64;
/// Tries of one question, with the SDK's backoff between them.
const TRIES: u32 = 3;
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const TRY_WITHIN: Duration = Duration::from_secs(4);
/// One question, all tries.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Pauses between questions that failed double from the one to the other.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Whether the ring is still there is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The encryption context: what the keys are for, and whose they are. It stands in CloudTrail, in the clear.
const PURPOSE: (&str, &str) = ("purpose", "callgate-spool");
const GATEWAY: &str = "gateway";

/// The keys at hand.
pub(super) struct Ring {
    kms: Kms,
    refresh: Duration,
    held: Mutex<Held>,
    /// One question at a time: who waits for the same key finds it at hand then.
    asking: tokio::sync::Mutex<()>,
    due: Notify,
}

#[derive(Default)]
struct Held {
    current: Option<Current>,
    known: VecDeque<Arc<AtHand>>,
}

struct Current {
    key: Arc<AtHand>,
    made: Instant,
    uses: u64,
}

/// One of them.
struct AtHand {
    outer: Outer,
    wrapping: Wrapping,
}

/// AWS KMS.
struct Kms {
    client: Client,
    key: String,
    gateway: String,
}

impl Ring {
    /// Asks for the first key, and keeps it fresh as long as the ring is held.
    pub(super) async fn open(spec: &KmsSpec) -> Result<Arc<Self>, NotFetched> {
        let ring = Arc::new(Self::new(Kms::open(&spec.key).await?, spec.refresh));
        ring.replace().await?;
        tokio::spawn(keep_fresh(Arc::downgrade(&ring)));
        Ok(ring)
    }

    fn new(kms: Kms, refresh: Duration) -> Self {
        Self { kms, refresh, held: Mutex::default(), asking: tokio::sync::Mutex::default(), due: Notify::new() }
    }

    /// Whether the current key may be used.
    pub(super) fn ready(&self) -> io::Result<()> {
        self.usable(self.held().current.as_ref()).map(|_| ())
    }

    /// Has something wrapped under the current key, and says which that was.
    pub(super) fn wrap<T>(&self, wrap: impl FnOnce(&Wrapping) -> io::Result<T>) -> io::Result<(Outer, T)> {
        let key = {
            let mut held = self.held();
            let key = self.usable(held.current.as_ref())?;
            if let Some(current) = &mut held.current {
                current.uses += 1;
                if current.uses == USES {
                    self.due.notify_one();
                }
            }
            key
        };
        Ok((key.outer.clone(), wrap(&key.wrapping)?))
    }

    /// The key behind what KMS wrapped, if it is at hand.
    pub(super) fn find(&self, outer: &Outer) -> Option<Found> {
        self.held().known.iter().find(|key| key.outer == *outer).map(|key| Found(Arc::clone(key)))
    }

    /// Has it at hand.
    pub(super) async fn fetch(&self, outer: &Outer) -> Result<(), NotFetched> {
        if self.find(outer).is_some() {
            return Ok(());
        }
        let _one = self.asking.lock().await;
        if self.find(outer).is_some() {
            return Ok(());
        }
        let key = self.kms.opened(outer).await?;
        self.keep(outer.clone(), &key);
        Ok(())
    }

    async fn replace(&self) -> Result<(), NotFetched> {
        let (key, outer) = self.kms.made().await?;
        let key = self.keep(outer, &key);
        self.held().current = Some(Current { key, made: Instant::now(), uses: 0 });
        Ok(())
    }

    fn keep(&self, outer: Outer, key: &[u8; 32]) -> Arc<AtHand> {
        let key = Arc::new(AtHand { outer, wrapping: Wrapping::new(key) });
        let mut held = self.held();
        held.known.push_back(Arc::clone(&key));
        if held.known.len() > KEPT_MAX + 1 {
            // The current one stays, however old: what is being recorded needs it.
            let oldest = held.known.iter().position(|key| held.current.as_ref().is_none_or(|current| !Arc::ptr_eq(&current.key, key)));
            oldest.and_then(|oldest| held.known.remove(oldest));
        }
        key
    }

    fn usable(&self, current: Option<&Current>) -> io::Result<Arc<AtHand>> {
        match current {
            Some(current) if current.made.elapsed() <= self.refresh * OVERUSE && current.uses < USES * u64::from(OVERUSE) => {
                Ok(Arc::clone(&current.key))
            }
            Some(_) | None => Err(io::Error::other("AWS KMS has given no new key for too long; recordings fail until it does")),
        }
    }

    /// How long the current key is as it should be.
    fn fresh_for(&self) -> Duration {
        let held = self.held();
        held.current
            .as_ref()
            .filter(|current| current.uses < USES)
            .map_or(Duration::ZERO, |current| self.refresh.saturating_sub(current.made.elapsed()))
    }

    /// Held for a look and no longer.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_fresh(ring: Weak<Ring>) {
    let mut pause = PAUSE_FIRST;
    while let Some(ring) = ring.upgrade() {
        let fresh_for = ring.fresh_for();
        if !fresh_for.is_zero() {
            let _ = tokio::time::timeout(fresh_for.min(LOOK_EVERY), ring.due.notified()).await;
            continue;
        }
        match ring.replace().await {
            Ok(()) => {
                if pause > PAUSE_FIRST {
                    tracing::info!("spool: AWS KMS gives data keys again");
                }
                pause = PAUSE_FIRST;
            }
            Err(why) => {
                match ring.ready() {
                    Ok(()) => tracing::warn!(error = %why, "spool: no new data key; the one at hand is used on for a while"),
                    Err(_) => tracing::error!(error = %why, "spool: no data key: nothing is recorded until AWS KMS is back"),
                }
                let until = pause.min(ring.refresh);
                drop(ring);
                tokio::time::sleep(until).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// A key that opens what it wrapped.
pub(super) struct Found(Arc<AtHand>);

impl std::ops::Deref for Found {
    type Target = Wrapping;

    fn deref(&self) -> &Wrapping {
        &self.0.wrapping
    }
}

impl Kms {
    /// Credentials, region and endpoint by the SDK's usual chain; a key that is an ARN tells its own region.
    async fn open(key: &str) -> Result<Self, NotFetched> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(TRY_WITHIN)
            .operation_timeout(ANSWER_WITHIN)
            .build();
        let shared = shared(timeouts, TRIES).await;
        let mut config = Builder::from(&shared);
        match (region_of(key), shared.region()) {
            (Some(region), _) => config = config.region(Region::new(region.to_owned())),
            (None, Some(_)) => {}
            (None, None) => return Err(NotFetched::Away("no region is known; set AWS_REGION, or give the key's ARN".to_owned())),
        }
        let gateway = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { client: Client::from_conf(config.build()), key: key.to_owned(), gateway })
    }

    /// A new key, and what KMS needs to open it again.
    async fn made(&self) -> Result<(Zeroizing<[u8; 32]>, Outer), NotFetched> {
        let request = self.client.generate_data_key().key_id(&self.key).key_spec(DataKeySpec::Aes256);
        let request = request.encryption_context(PURPOSE.0, PURPOSE.1).encryption_context(GATEWAY, &self.gateway);
        let answer = request.send().await.map_err(|why| failed("make a data key", &why))?;
        let wrapped = answer.ciphertext_blob.map(Blob::into_inner).filter(|wrapped| !wrapped.is_empty()).ok_or_else(no_key)?;
        Ok((key_in(answer.plaintext)?, Outer { gateway: self.gateway.clone(), wrapped }))
    }

    /// The key behind what KMS wrapped. Which of its keys that was, KMS sees for itself: so a spool outlives a change of
    /// `CALLGATE_SPOOL_KMS_KEY`.
    async fn opened(&self, outer: &Outer) -> Result<Zeroizing<[u8; 32]>, NotFetched> {
        let request = self.client.decrypt().ciphertext_blob(Blob::new(outer.wrapped.as_slice()));
        let request = request.encryption_context(PURPOSE.0, PURPOSE.1).encryption_context(GATEWAY, &outer.gateway);
        key_in(request.send().await.map_err(|why| failed("open a data key", &why))?.plaintext)
    }
}

/// The region in a key's ARN.
fn region_of(key: &str) -> Option<&str> {
    let mut parts = key.split(':');
    (parts.next() == Some("arn")).then(|| parts.nth(2)).flatten().filter(|region| !region.is_empty())
}

fn key_in(plaintext: Option<Blob>) -> Result<Zeroizing<[u8; 32]>, NotFetched> {
    let bytes = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| no_key())
}

fn no_key() -> NotFetched {
    NotFetched::Away("its answer has no key of 32 bytes in it".to_owned())
}

/// The error as others may see it. What KMS wrote beside its code is for the log.
fn failed<E>(doing: &'static str, why: &SdkError<E, HttpResponse>) -> NotFetched
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = why.raw_response().map(|response| response.status().as_u16());
    tracing::warn!(code = why.code(), status, message = why.message(), "AWS KMS: could not {doing}");
    match (why.code(), status, why) {
        // Not wrapped by this account's keys, or for another gateway, or damaged: it will not be another time either.
        (Some(code @ ("InvalidCiphertextException" | "IncorrectKeyException")), _, _) => NotFetched::Refused(code.to_owned()),
        (Some(code), Some(400), _) => NotFetched::Away(format!("{code}; check the key, its policy, the credentials and the region")),
        (Some(code), _, _) => NotFetched::Away(code.to_owned()),
        (None, Some(status), _) => NotFetched::Away(format!("HTTP {status}")),
        (None, None, SdkError::TimeoutError(_)) => NotFetched::Away("it did not answer in time".to_owned()),
        (None, None, SdkError::DispatchFailure(_)) => {
            NotFetched::Away("it cannot be reached; check the network and AWS_ENDPOINT_URL_KMS".to_owned())
        }
        (None, None, _) => NotFetched::Away("it could not be asked; check the credentials and the region".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A ring with one key, and nobody to ask.
    pub(in crate::io::spool) fn ring(key: u8, refresh: Duration) -> Arc<Ring> {
        let config = aws_sdk_kms::Config::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
        let kms = Kms { client: Client::from_conf(config), key: "none".into(), gateway: "gate".into() };
        let ring = Ring::new(kms, refresh);
        let key = ring.keep(Outer { gateway: "gate".into(), wrapped: vec![key; 184] }, &[key; 32]);
        ring.held().current = Some(Current { key, made: Instant::now(), uses: 0 });
        Arc::new(ring)
    }

    #[test]
    fn a_key_is_used_on_for_a_while_and_then_no_more() {
        let hour = Duration::from_secs(3_600);
        let ring = ring(1, hour);
        let age = |age: Duration| {
            let mut held = ring.held();
            let current = held.current.as_mut().unwrap();
            current.made = Instant::now().checked_sub(age).unwrap();
        };
        assert!(!ring.fresh_for().is_zero() && ring.ready().is_ok());
        age(hour + Duration::from_secs(1));
        assert!(ring.fresh_for().is_zero() && ring.wrap(|_| Ok(())).is_ok(), "due, and still good");
        age(hour * 4 + Duration::from_secs(1));
        assert!(ring.ready().is_err() && ring.wrap(|_| Ok(())).is_err());
        age(Duration::ZERO);
        ring.held().current.as_mut().unwrap().uses = 0;
        for use_ in 1..=USES * u64::from(OVERUSE) {
            assert!(ring.wrap(|_| Ok(())).is_ok(), "use {use_}");
            assert_eq!(ring.fresh_for().is_zero(), use_ >= USES, "use {use_}");
        }
        assert!(ring.wrap(|_| Ok(())).is_err(), "used too often");
    }

    #[test]
    fn the_current_key_stays_at_hand_however_many_are_opened() {
        let ring = ring(1, Duration::from_secs(3_600));
        let (current, ()) = ring.wrap(|_| Ok(())).unwrap();
        let other = |n: u16| Outer { gateway: "gate".into(), wrapped: n.to_le_bytes().to_vec() };
        for n in 0..200 {
            ring.keep(other(n), &[2; 32]);
        }
        assert!(ring.find(&current).is_some() && ring.find(&other(199)).is_some() && ring.find(&other(100)).is_none());
        assert_eq!(ring.held().known.len(), KEPT_MAX + 1);
    }

    #[test]
    fn an_arn_tells_its_region() {
        assert_eq!(region_of("arn:aws:kms:eu-west-1:111122223333:key/1234"), Some("eu-west-1"));
        assert_eq!((region_of("alias/callgate"), region_of("1234abcd-12ab"), region_of("arn:aws")), (None, None, None));
    }
}
