//! S3 by Amazon's SDK, and whatever speaks S3 behind an endpoint of its own.
//!
//! Short objects in one request, long ones in parts of [`PART`] bytes with a CRC32 each. A broken upload is found
//! again and only what is missing of it is sent, since the same spool gives the same bytes. Then the object
//! is read back: the only proof that all S3-likes give.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{Deleted, ObjectError, Source, Sse, Stored, Tally, seen};

/// Bytes of a part. S3 takes no less than 5 MiB, but for the last.
const PART: usize = 8 * 1024 * 1024;
/// Tries of one request, with the SDK's exponential backoff and jitter between them.
const TRIES: u32 = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// One request, one part: 8 MiB at 1.1 Mbit/s.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// A body that stops for so long is given up.
const READ_WITHIN: Duration = Duration::from_secs(30);

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
        let shared = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts)
            .load()
            .await;
        let mut config = Builder::from(&shared);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        if shared.region().is_none() {
            config = config.region(aws_sdk_s3::config::Region::new("us-east-1"));
        }
        Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned(), prefix: prefix.to_owned(), sse }
    }

    pub(super) async fn put(&self, key: &str, content_type: &str, mut source: Source) -> Result<Stored, ObjectError> {
        let mut tally = Tally::default();
        let first = part(key, &mut source, &mut tally).await?;
        if self.exists(key).await? {
            // Nothing is sent over it; the look below tells whether it is the same, as after a restart it is.
            while !part(key, &mut source, &mut tally).await?.is_empty() {}
        } else if first.len() < PART {
            self.put_whole(key, content_type, first).await?;
        } else {
            self.put_parts(key, content_type, first, &mut source, &mut tally).await?;
        }
        let sent = tally.stored(key);
        let there = match self.get(key, None).await? {
            Some(source) => seen(key, source).await?,
            None => return Err(ObjectError::Unproven(key.to_owned())),
        };
        if there == sent {
            Ok(there)
        } else if there.bytes == sent.bytes {
            Err(ObjectError::Unproven(key.to_owned()))
        } else {
            Err(ObjectError::Exists(key.to_owned()))
        }
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Source>, ObjectError> {
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let answer = self.client.get_object().bucket(&self.bucket).key(self.full(key)).set_range(range).send().await;
        let mut body = match answer {
            Ok(answer) => answer.body,
            Err(why) if code(&why) == Some("NoSuchKey") || status(&why) == Some(404) => return Ok(None),
            Err(why) => return Err(failed("read", key, &why)),
        };
        let (to, source) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(bytes) = body.next().await {
                let broken = bytes.is_err();
                if to.send(bytes.map_err(std::io::Error::other)).await.is_err() || broken {
                    break;
                }
            }
        });
        Ok(Some(source))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<Deleted, ObjectError> {
        let full = self.full(key);
        let mut deleted = Deleted { uploads: self.abort(key).await?, ..Deleted::default() };
        let listed = self.client.list_object_versions().bucket(&self.bucket).prefix(&full).send().await;
        match listed {
            Ok(listed) => {
                let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
                let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
                for (_, version) in versions.chain(markers).filter(|(name, _)| *name == Some(&full)) {
                    let request = self.client.delete_object().bucket(&self.bucket).key(&full);
                    request.set_version_id(version.map(str::to_owned)).send().await.map_err(|why| failed("delete", key, &why))?;
                    deleted.versions += 1;
                }
            }
            Err(why) if is_not_built(&why) => {
                self.client.delete_object().bucket(&self.bucket).key(&full).send().await.map_err(|why| failed("delete", key, &why))?;
                deleted.versions = 1;
            }
            Err(why) => return Err(failed("list the versions of", key, &why)),
        }
        deleted.gone = !self.exists(key).await?;
        Ok(deleted)
    }

    async fn exists(&self, key: &str) -> Result<bool, ObjectError> {
        match self.client.head_object().bucket(&self.bucket).key(self.full(key)).send().await {
            Ok(_) => Ok(true),
            Err(why) if status(&why) == Some(404) => Ok(false),
            Err(why) => Err(failed("look for", key, &why)),
        }
    }

    pub(super) async fn ready(&self) -> bool {
        self.client.head_bucket().bucket(&self.bucket).send().await.is_ok()
    }

    async fn put_whole(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let (sse, kms) = self.encryption();
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(key))
            .content_type(content_type)
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms)
            .body(ByteStream::from(bytes))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // It is there already: the look that follows tells whether it is the same.
            Err(why) if status(&why) == Some(412) => Ok(()),
            Err(why) => Err(failed("write", key, &why)),
        }
    }

    async fn put_parts(
        &self,
        key: &str,
        content_type: &str,
        first: Bytes,
        source: &mut Source,
        tally: &mut Tally,
    ) -> Result<(), ObjectError> {
        let full = self.full(key);
        let (upload, finished) = match self.unfinished(&full).await {
            Some(found) => found,
            None => (self.begin(key, content_type).await?, Finished::new()),
        };
        let mut parts = Vec::new();
        let (mut number, mut bytes) = (1, first);
        while !bytes.is_empty() {
            parts.push(self.put_part(key, &upload, number, bytes, &finished).await?);
            number += 1;
            bytes = part(key, source, tally).await?;
        }
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(&full).upload_id(&upload);
        let answer = request.multipart_upload(whole).if_none_match("*").send().await;
        match answer {
            Ok(_) => Ok(()),
            Err(why) if status(&why) == Some(412) => self.abort(key).await.map(|_| ()),
            Err(why) => Err(failed("complete", key, &why)),
        }
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

    /// An upload of this key that was never finished, and what is there of it. Stores that cannot list have none.
    async fn unfinished(&self, full: &str) -> Option<(String, Finished)> {
        let uploads = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(full).send().await.ok()?;
        let upload = uploads.uploads().iter().find(|upload| upload.key() == Some(full))?.upload_id()?.to_owned();
        let mut finished = Finished::new();
        let mut pages = self.client.list_parts().bucket(&self.bucket).key(full).upload_id(&upload).into_paginator().send();
        while let Some(page) = pages.next().await {
            for part in page.ok()?.parts() {
                let sums = (part.size().unwrap_or(-1), part.checksum_crc32().map(str::to_owned), part.e_tag().map(str::to_owned));
                finished.insert(part.part_number().unwrap_or(0), sums);
            }
        }
        Some((upload, finished))
    }

    /// Aborts every unfinished upload of a key.
    async fn abort(&self, key: &str) -> Result<u32, ObjectError> {
        let full = self.full(key);
        let listed = match self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&full).send().await {
            Ok(listed) => listed,
            Err(why) if is_not_built(&why) => return Ok(0),
            Err(why) => return Err(failed("list the uploads of", key, &why)),
        };
        let mut aborted = 0;
        for upload in listed.uploads().iter().filter(|upload| upload.key() == Some(&full)) {
            let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&full);
            match request.set_upload_id(upload.upload_id().map(str::to_owned)).send().await {
                Ok(_) => aborted += 1,
                Err(why) if status(&why) == Some(404) => {}
                Err(why) => return Err(failed("abort an upload of", key, &why)),
            }
        }
        Ok(aborted)
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

/// The next part; shorter than [`PART`] only at the end.
async fn part(key: &str, source: &mut Source, tally: &mut Tally) -> Result<Bytes, ObjectError> {
    let mut gathered = BytesMut::new();
    while gathered.len() < PART {
        match source.recv().await {
            Some(Ok(bytes)) => {
                tally.add(&bytes);
                gathered.extend_from_slice(&bytes);
            }
            Some(Err(why)) => return Err(ObjectError::Source { key: key.to_owned(), source: why }),
            None => break,
        }
    }
    Ok(gathered.freeze())
}

fn code<E: ProvideErrorMetadata, R>(why: &SdkError<E, R>) -> Option<&str> {
    why.code()
}

fn status<E>(why: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> Option<u16> {
    why.raw_response().map(|response| response.status().as_u16())
}

fn is_not_built<E: ProvideErrorMetadata>(why: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> bool {
    code(why) == Some("NotImplemented") || status(why) == Some(501)
}

fn failed<E>(doing: &'static str, key: &str, why: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> ObjectError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let refused = status(why) == Some(403);
    let mut why = match (why.code(), why.message()) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (None, _) => DisplayErrorContext(why).to_string(),
    };
    if refused {
        why.push_str("; check the store's credentials, region and bucket policy");
    }
    ObjectError::Store { doing, key: key.to_owned(), why }
}
