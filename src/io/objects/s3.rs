//! S3 by Amazon's SDK, and whatever speaks S3 behind an endpoint of its own.
//!
//! Short objects in one request, long ones in parts of [`PART`] bytes with a CRC32 each. A broken upload is found
//! again and only what is missing of it is sent, since the same spool gives the same bytes. Then the object
//! is read back: the only proof that all S3-likes give.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{Deleted, Feed, ObjectError, Source, Sse, Stored, Tally, seen};
use crate::io::aws::shared;

/// Bytes of a part. S3 takes no less than 5 MiB, but for the last.
const PART: usize = 8 * 1024 * 1024;
/// Tries of one request, with the SDK's exponential backoff and jitter between them.
const TRIES: u32 = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// One request, one part: 8 MiB at 1.1 Mbit/s.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// A body that stops for so long is given up.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A deletion looks, removes what it sees (a page of 1,000), and looks again; what it still sees after so many rounds is not
/// gone.
const DELETE_ROUNDS: u32 = 8;

/// A bucket, and a prefix in it.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    bucket: String,
    prefix: String,
    sse: Option<Sse>,
}

/// A finished part of a broken upload: length and CRC32.
type Finished = HashMap<i32, (i64, Option<String>, Option<String>)>;

impl S3 {
    pub(super) async fn open(bucket: &str, prefix: &str, endpoint: Option<&str>, sse: Option<Sse>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(REQUEST_WITHIN)
            .read_timeout(READ_WITHIN)
            .build();
        let shared = shared(timeouts, TRIES).await;
        let mut config = Builder::from(&shared);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        if shared.region().is_none() {
            config = config.region(aws_sdk_s3::config::Region::new("us-east-1"));
        }
        Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned(), prefix: prefix.to_owned(), sse }
    }

    pub(super) async fn put(&self, key: &str, content_type: &str, mut feed: Feed) -> Result<Stored, ObjectError> {
        let mut tally = Tally::default();
        let first = part(key, &mut feed, &mut tally).await?;
        let (sent, wrote) = if self.exists(key).await? {
            // Nothing is sent over it; the look below tells whether it is the same, as after a restart it is.
            while !part(key, &mut feed, &mut tally).await?.is_empty() {}
            (feed.whole(key, tally).await?, false)
        } else if first.len() < PART {
            let sent = feed.whole(key, tally).await?;
            (sent, self.put_whole(key, content_type, first).await?)
        } else {
            self.put_parts(key, content_type, first, feed, tally).await?
        };
        let Some(there) = self.look(key, None).await? else { return Err(ObjectError::Unproven(key.to_owned())) };
        let encrypted = self.is_encrypted(&there.answer);
        let there = seen(key, there.source()).await?;
        match (there == sent, wrote, encrypted) {
            (true, _, true) => Ok(there),
            (true, _, false) => self.delete(key).await.and(Err(ObjectError::NotEncrypted(key.to_owned()))),
            // Ours, and broken on its way: out of the way of the next try.
            (false, true, _) => self.delete(key).await.and(Err(ObjectError::Unproven(key.to_owned()))),
            (false, false, _) => Err(ObjectError::Exists(key.to_owned())),
        }
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Source>, ObjectError> {
        Ok(self.look(key, range).await?.map(Found::source))
    }

    async fn look(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Found>, ObjectError> {
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let answer = self.client.get_object().bucket(&self.bucket).key(self.full(key)).set_range(range).send().await;
        match answer {
            Ok(answer) => Ok(Some(Found { answer })),
            Err(why) if code(&why) == Some("NoSuchKey") || status(&why) == Some(404) => Ok(None),
            Err(why) => Err(failed("read", key, &why)),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<Deleted, ObjectError> {
        let full = self.full(key);
        let mut deleted = Deleted::default();
        // The last round only looks.
        for round in 0..=DELETE_ROUNDS {
            let (uploads, versions) = (self.uploads(&full).await?, self.versions(&full).await?);
            deleted.gone = uploads.is_empty() && versions.is_empty();
            if deleted.gone || round == DELETE_ROUNDS {
                break;
            }
            deleted.uploads += self.abort(&full, uploads).await?;
            for version in versions {
                let request = self.client.delete_object().bucket(&self.bucket).key(&full).set_version_id(version);
                request.send().await.map_err(|why| failed("delete", key, &why))?;
                deleted.versions += 1;
            }
        }
        Ok(deleted)
    }

    /// Versions and delete markers of an object, as many as a page holds. A store without versions has one that has no name.
    async fn versions(&self, full: &str) -> Result<Vec<Option<String>>, ObjectError> {
        let page = match self.client.list_object_versions().bucket(&self.bucket).prefix(full).send().await {
            Ok(page) => page,
            Err(why) if is_not_built(&why) => return Ok(self.is_there(full).await?.then_some(None).into_iter().collect()),
            Err(why) => return Err(failed("list the versions of", full, &why)),
        };
        let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        // Names come in order, and the shortest that begins so is ours: it is never behind those of others.
        let ours = versions.chain(markers).filter(|(name, _)| *name == Some(full));
        Ok(ours.map(|(_, version)| version.map(str::to_owned)).collect())
    }

    /// Unfinished uploads of an object, as many as a page holds. Stores that cannot list them have none.
    async fn uploads(&self, full: &str) -> Result<Vec<String>, ObjectError> {
        match self.client.list_multipart_uploads().bucket(&self.bucket).prefix(full).send().await {
            Ok(page) => {
                let ours = page.uploads().iter().filter(|upload| upload.key() == Some(full));
                Ok(ours.filter_map(|upload| upload.upload_id().map(str::to_owned)).collect())
            }
            Err(why) if is_not_built(&why) => Ok(Vec::new()),
            Err(why) => Err(failed("list the uploads of", full, &why)),
        }
    }

    async fn exists(&self, key: &str) -> Result<bool, ObjectError> {
        self.is_there(&self.full(key)).await
    }

    async fn is_there(&self, full: &str) -> Result<bool, ObjectError> {
        match self.client.head_object().bucket(&self.bucket).key(full).send().await {
            Ok(_) => Ok(true),
            Err(why) if status(&why) == Some(404) => Ok(false),
            Err(why) => Err(failed("look for", full, &why)),
        }
    }

    pub(super) async fn ready(&self) -> bool {
        self.client.head_bucket().bucket(&self.bucket).send().await.is_ok()
    }

    /// One request. Whether it was we who wrote the object.
    async fn put_whole(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<bool, ObjectError> {
        let request = || {
            let (sse, kms) = self.encryption();
            let request = self.client.put_object().bucket(&self.bucket).key(self.full(key)).content_type(content_type);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).set_server_side_encryption(sse);
            request.set_ssekms_key_id(kms).body(ByteStream::from(bytes.clone()))
        };
        let mut answer = request().if_none_match("*").send().await;
        if answer.as_ref().is_err_and(is_not_built) {
            // A store without conditions: that nothing lay there was seen a moment ago.
            answer = request().send().await;
        }
        match answer {
            Ok(_) => Ok(true),
            Err(why) if status(&why) == Some(412) => Ok(false),
            Err(why) => Err(failed("write", key, &why)),
        }
    }

    /// Part by part. What was sent, and whether it was we who wrote the object.
    async fn put_parts(
        &self,
        key: &str,
        content_type: &str,
        first: Bytes,
        mut feed: Feed,
        mut tally: Tally,
    ) -> Result<(Stored, bool), ObjectError> {
        let full = self.full(key);
        let (upload, finished) = match self.unfinished(&full).await? {
            Some(found) => found,
            None => (self.begin(key, content_type).await?, Finished::new()),
        };
        let mut parts = Vec::new();
        let (mut number, mut bytes) = (1, first);
        while !bytes.is_empty() {
            parts.push(self.put_part(key, &upload, number, bytes, &finished).await?);
            number += 1;
            bytes = part(key, &mut feed, &mut tally).await?;
        }
        let sent = feed.whole(key, tally).await?;
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(&full).upload_id(&upload).multipart_upload(whole);
        let mut answer = request.clone().if_none_match("*").send().await;
        if answer.as_ref().is_err_and(is_not_built) {
            answer = request.send().await;
        }
        let wrote = match answer {
            Ok(_) => true,
            Err(why) if status(&why) == Some(412) => false,
            Err(why) => return Err(failed("complete", key, &why)),
        };
        // Nobody will come back for what earlier tries began.
        self.abort(&full, self.uploads(&full).await?).await?;
        Ok((sent, wrote))
    }

    async fn begin(&self, key: &str, content_type: &str) -> Result<String, ObjectError> {
        let (sse, kms) = self.encryption();
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key))
            .content_type(content_type)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms)
            .send()
            .await
            .map_err(|why| failed("begin", key, &why))?;
        let id = begun.upload_id().map(str::to_owned);
        id.ok_or_else(|| ObjectError::Store { doing: "begin", key: key.to_owned(), why: "the store named no upload".into() })
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        bytes: Bytes,
        finished: &Finished,
    ) -> Result<CompletedPart, ObjectError> {
        let crc32 = base64_simd::STANDARD.encode_to_string(crc32fast::hash(&bytes).to_be_bytes());
        let done = CompletedPart::builder().part_number(number).checksum_crc32(&crc32);
        if let Some((size, Some(sum), tag)) = finished.get(&number)
            && *size == i64::try_from(bytes.len()).unwrap_or(-1)
            && *sum == crc32
        {
            return Ok(done.set_e_tag(tag.clone()).build());
        }
        let answer = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.full(key))
            .upload_id(upload)
            .part_number(number)
            .checksum_crc32(crc32)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|why| failed("write a part of", key, &why))?;
        Ok(done.set_e_tag(answer.e_tag().map(str::to_owned)).build())
    }

    /// An upload of this key that was never finished, and what is there of it.
    async fn unfinished(&self, full: &str) -> Result<Option<(String, Finished)>, ObjectError> {
        let Some(upload) = self.uploads(full).await?.into_iter().next() else { return Ok(None) };
        let mut finished = Finished::new();
        let mut pages = self.client.list_parts().bucket(&self.bucket).key(full).upload_id(&upload).into_paginator().send();
        while let Some(page) = pages.next().await {
            for part in page.map_err(|why| failed("list the parts of", full, &why))?.parts() {
                let sums = (part.size().unwrap_or(-1), part.checksum_crc32().map(str::to_owned), part.e_tag().map(str::to_owned));
                finished.insert(part.part_number().unwrap_or(0), sums);
            }
        }
        Ok(Some((upload, finished)))
    }

    /// Aborts uploads of a key; how many there were.
    async fn abort(&self, full: &str, uploads: Vec<String>) -> Result<u32, ObjectError> {
        let mut aborted = 0;
        for upload in uploads {
            match self.client.abort_multipart_upload().bucket(&self.bucket).key(full).upload_id(upload).send().await {
                Ok(_) => aborted += 1,
                Err(why) if status(&why) == Some(404) => {}
                Err(why) => return Err(failed("abort an upload of", full, &why)),
            }
        }
        Ok(aborted)
    }

    /// Whether the store says that it encrypted as it was asked to.
    fn is_encrypted(&self, answer: &GetObjectOutput) -> bool {
        let (asked, _) = self.encryption();
        asked.is_none() || answer.server_side_encryption() == asked.as_ref()
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.sse {
            None => (None, None),
            Some(Sse::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Sse::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }

    fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3(s3://{}/{})", self.bucket, self.prefix)
    }
}

/// An object that is there: what the store says of it, and its bytes to come.
struct Found {
    answer: GetObjectOutput,
}

impl Found {
    fn source(self) -> Source {
        let mut body = self.answer.body;
        let (to, source) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(bytes) = body.next().await {
                let broken = bytes.is_err();
                if to.send(bytes.map_err(std::io::Error::other)).await.is_err() || broken {
                    break;
                }
            }
        });
        source
    }
}

/// The next part; shorter than [`PART`] only at the end.
async fn part(key: &str, feed: &mut Feed, tally: &mut Tally) -> Result<Bytes, ObjectError> {
    let mut gathered = BytesMut::new();
    while gathered.len() < PART
        && let Some(bytes) = feed.next(key, tally).await?
    {
        gathered.extend_from_slice(&bytes);
    }
    Ok(gathered.freeze())
}

fn code<E: ProvideErrorMetadata, R>(why: &SdkError<E, R>) -> Option<&str> {
    why.code()
}

fn status<E>(why: &SdkError<E, HttpResponse>) -> Option<u16> {
    why.raw_response().map(|response| response.status().as_u16())
}

fn is_not_built<E: ProvideErrorMetadata>(why: &SdkError<E, HttpResponse>) -> bool {
    code(why) == Some("NotImplemented") || status(why) == Some(501)
}

/// The error as others may see it: it goes into the audit chain. What the store wrote beside its code is for the log.
fn failed<E>(doing: &'static str, key: &str, why: &SdkError<E, HttpResponse>) -> ObjectError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = status(why);
    tracing::warn!(%key, code = why.code(), status, message = why.message(), "object store: could not {doing}");
    let mut told = match (why.code(), status, why) {
        (Some(code), Some(status), _) => format!("{code} (HTTP {status})"),
        (Some(code), None, _) => code.to_owned(),
        (None, Some(status), _) => format!("HTTP {status}"),
        (None, None, SdkError::TimeoutError(_)) => "it did not answer in time".to_owned(),
        (None, None, SdkError::DispatchFailure(_)) => "it cannot be reached; check CALLGATE_S3_ENDPOINT and the network".to_owned(),
        (None, None, _) => "the request could not be made; check the store's credentials and region".to_owned(),
    };
    if status == Some(403) {
        told.push_str("; check the store's credentials, region and bucket policy");
    }
    ObjectError::Store { doing, key: key.to_owned(), why: told }
}
