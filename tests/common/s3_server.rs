//! A real S3 server in this process: s3s speaks the protocol and checks every SigV4 signature; what lies behind is a map.
//! It can be told to misbehave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

pub const BUCKET: &str = "recordings-bucket";
pub const ACCESS_KEY: &str = "AKIDTEST";
pub const SECRET_KEY: &str = "secret-of-the-test-store";

/// Version ids and bytes, oldest first.
pub type Versions = Vec<(String, Vec<u8>)>;
/// The key, and the parts received.
pub type Upload = (String, BTreeMap<i32, Vec<u8>>);

/// What the server holds, and how it is told to misbehave.
#[derive(Default)]
pub struct State {
    pub objects: Mutex<BTreeMap<String, Versions>>,
    pub uploads: Mutex<BTreeMap<String, Upload>>,
    pub parts_received: AtomicUsize,
    pub encrypted: Mutex<Vec<String>>,
    /// So many requests are answered with 503.
    pub busy: AtomicUsize,
    /// After so many parts every further one is refused for good.
    pub parts_until_broken: AtomicUsize,
    /// Stored bytes are corrupted.
    pub lies: AtomicUsize,
    next: AtomicUsize,
}

#[derive(Clone)]
struct Store(Arc<State>);

pub struct S3Server {
    pub state: Arc<State>,
    pub endpoint: String,
}

impl S3Server {
    pub async fn start() -> Self {
        let state = Arc::new(State { parts_until_broken: AtomicUsize::new(usize::MAX), ..State::default() });
        let mut builder = S3ServiceBuilder::new(Store(Arc::clone(&state)));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { state, endpoint }
    }

    /// The newest version of an object.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state.objects.lock().unwrap().get(key).and_then(|versions| versions.last()).map(|(_, bytes)| bytes.clone())
    }
}

impl Store {
    fn is_busy(&self) -> S3Result<()> {
        let busy = self.0.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if busy { Err(s3_error!(SlowDown, "please slow down")) } else { Ok(()) }
    }

    fn keep(&self, key: String, mut bytes: Vec<u8>) {
        if self.0.lies.load(Ordering::SeqCst) > 0
            && let Some(byte) = bytes.last_mut()
        {
            *byte ^= 1;
        }
        let version = format!("v{}", self.0.next.fetch_add(1, Ordering::SeqCst));
        self.0.objects.lock().unwrap().entry(key).or_default().push((version, bytes));
    }

    fn newest(&self, key: &str) -> S3Result<Vec<u8>> {
        let objects = self.0.objects.lock().unwrap();
        objects.get(key).and_then(|versions| versions.last()).map(|(_, bytes)| bytes.clone()).ok_or_else(|| s3_error!(NoSuchKey))
    }
}

async fn gather(body: Option<StreamingBlob>) -> S3Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut body) = body else { return Ok(bytes) };
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|why| s3_error!(IncompleteBody, "{why}"))?);
    }
    Ok(bytes)
}

fn crc32(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(crc32fast::hash(bytes).to_be_bytes())
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.is_busy()?;
        let input = request.input;
        if input.if_none_match.is_some() && self.newest(&input.key).is_ok() {
            return Err(s3_error!(PreconditionFailed));
        }
        if let Some(sse) = &input.server_side_encryption {
            self.0.encrypted.lock().unwrap().push(sse.as_str().to_owned());
        }
        let bytes = gather(input.body).await?;
        self.keep(input.key, bytes);
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.is_busy()?;
        let mut bytes = self.newest(&request.input.key)?;
        if let Some(range) = request.input.range {
            let range = range.check(bytes.len() as u64).map_err(|_| s3_error!(InvalidRange))?;
            bytes = bytes[range.start as usize..range.end as usize].to_vec();
        }
        let length = bytes.len() as i64;
        let body = StreamingBlob::wrap(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(bytes))]));
        Ok(S3Response::new(GetObjectOutput { body: Some(body), content_length: Some(length), ..Default::default() }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let bytes = self.newest(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput { content_length: Some(bytes.len() as i64), ..Default::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let mut objects = self.0.objects.lock().unwrap();
        if let (Some(versions), Some(version)) = (objects.get_mut(&input.key), &input.version_id) {
            versions.retain(|(id, _)| id != version);
            if versions.is_empty() {
                objects.remove(&input.key);
            }
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_object_versions(&self, request: S3Request<ListObjectVersionsInput>) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let objects = self.0.objects.lock().unwrap();
        let versions = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .flat_map(|(key, versions)| {
                versions.iter().map(|(id, _)| ObjectVersion { key: Some(key.clone()), version_id: Some(id.clone()), ..Default::default() })
            })
            .collect();
        Ok(S3Response::new(ListObjectVersionsOutput { versions: Some(versions), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.is_busy()?;
        let id = format!("upload{}", self.0.next.fetch_add(1, Ordering::SeqCst));
        self.0.uploads.lock().unwrap().insert(id.clone(), (request.input.key, BTreeMap::new()));
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.is_busy()?;
        let input = request.input;
        let bytes = gather(input.body).await?;
        if self.0.parts_received.load(Ordering::SeqCst) >= self.0.parts_until_broken.load(Ordering::SeqCst) {
            return Err(s3_error!(AccessDenied, "no more parts today"));
        }
        self.0.parts_received.fetch_add(1, Ordering::SeqCst);
        let sum = crc32(&bytes);
        if input.checksum_crc32.as_ref().is_some_and(|told| *told != sum) {
            return Err(s3_error!(BadDigest));
        }
        let mut uploads = self.0.uploads.lock().unwrap();
        let (_, parts) = uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        parts.insert(input.part_number, bytes);
        let e_tag = Some(ETag::Strong(format!("part{}", input.part_number)));
        Ok(S3Response::new(UploadPartOutput { e_tag, checksum_crc32: Some(sum), ..Default::default() }))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let uploads = self.0.uploads.lock().unwrap();
        let (_, parts) = uploads.get(&request.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let parts = parts
            .iter()
            .map(|(number, bytes)| Part {
                part_number: Some(*number),
                size: Some(bytes.len() as i64),
                checksum_crc32: Some(crc32(bytes)),
                e_tag: Some(ETag::Strong(format!("part{number}"))),
                ..Default::default()
            })
            .collect();
        Ok(S3Response::new(ListPartsOutput { parts: Some(parts), is_truncated: Some(false), ..Default::default() }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let uploads = self.0.uploads.lock().unwrap();
        let uploads = uploads
            .iter()
            .filter(|(_, (key, _))| key.starts_with(&prefix))
            .map(|(id, (key, _))| MultipartUpload { key: Some(key.clone()), upload_id: Some(id.clone()), ..Default::default() })
            .collect();
        Ok(S3Response::new(ListMultipartUploadsOutput { uploads: Some(uploads), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        if input.if_none_match.is_some() && self.newest(&input.key).is_ok() {
            return Err(s3_error!(PreconditionFailed));
        }
        let (key, parts) = self.0.uploads.lock().unwrap().remove(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named: Vec<i32> =
            input.multipart_upload.and_then(|whole| whole.parts).unwrap_or_default().iter().filter_map(|part| part.part_number).collect();
        if named != parts.keys().copied().collect::<Vec<_>>() {
            return Err(s3_error!(InvalidPart));
        }
        self.keep(key, parts.into_values().flatten().collect());
        Ok(S3Response::new(CompleteMultipartUploadOutput::default()))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.uploads.lock().unwrap().remove(&request.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
