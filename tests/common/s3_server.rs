//! A real S3 server in this process: s3s speaks the protocol and checks every SigV4 signature; what lies behind is a map.
//! It can be told to misbehave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Entries of one listing page: few, so that pages are turned.
const PAGE: usize = 2;

/// The SDK reads its credentials from the environment, which belongs to a whole process: such a story is told in a child
/// of its own. Says whether this is the child. `story` is `module_path!()` and the test's name.
pub fn in_a_child((module, story): (&str, &str), secret: &str) -> bool {
    if std::env::var_os("CALLGATE_TEST_CHILD").is_some() {
        return true;
    }
    let story = module.split_once("::").map_or_else(|| story.to_owned(), |(_, module)| format!("{module}::{story}"));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([&story, "--exact", "--nocapture"]).env("CALLGATE_TEST_CHILD", "1").env("AWS_EC2_METADATA_DISABLED", "true");
    child.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
    let told = child.output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout);
    // A name that is nobody's would be a success of no test at all.
    assert!(told.status.success() && said.contains("1 passed"), "{story}: {said}{}", String::from_utf8_lossy(&told.stderr));
    false
}

/// A version's id, its bytes (none: a delete marker), and how the server encrypted it.
pub struct Version {
    id: String,
    bytes: Option<Vec<u8>>,
    encryption: Option<ServerSideEncryption>,
}

/// Oldest first.
pub type Versions = Vec<Version>;
/// An unfinished upload: of which key, and the parts received.
pub struct Upload {
    key: String,
    parts: BTreeMap<i32, Vec<u8>>,
    encryption: Option<ServerSideEncryption>,
}

/// What the server holds, and how it is told to misbehave.
#[derive(Default)]
pub struct State {
    pub objects: Mutex<BTreeMap<String, Versions>>,
    pub uploads: Mutex<BTreeMap<String, Upload>>,
    pub parts_received: AtomicUsize,
    /// Encryption asked for is left out.
    pub forgets_encryption: AtomicBool,
    /// `If-None-Match` is not built.
    pub unconditional: AtomicBool,
    /// Deletions are answered with yes and not done.
    pub keeps: AtomicBool,
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
        self.state.objects.lock().unwrap().get(key).and_then(|versions| versions.last()).and_then(|version| version.bytes.clone())
    }

    /// An upload that somebody began and never finished.
    pub fn leave_an_upload(&self, key: &str) {
        let id = self.state.id("upload");
        self.state.uploads.lock().unwrap().insert(id, Upload { key: key.to_owned(), parts: BTreeMap::new(), encryption: None });
    }

    /// One more version, every other a delete marker.
    pub fn leave_a_version(&self, key: &str) {
        let id = self.state.id("v");
        let mut objects = self.state.objects.lock().unwrap();
        let versions = objects.entry(key.to_owned()).or_default();
        let bytes = versions.len().is_multiple_of(2).then(|| b"old".to_vec());
        versions.push(Version { id, bytes, encryption: None });
    }
}

impl State {
    fn id(&self, kind: &str) -> String {
        format!("{kind}{:06}", self.next.fetch_add(1, Ordering::SeqCst))
    }
}

impl Store {
    fn is_busy(&self) -> S3Result<()> {
        let busy = self.0.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if busy { Err(s3_error!(SlowDown, "please slow down")) } else { Ok(()) }
    }

    /// What a condition on a write comes to.
    fn allows(&self, key: &str, conditional: bool) -> S3Result<()> {
        match (conditional, self.0.unconditional.load(Ordering::SeqCst)) {
            (false, _) => Ok(()),
            (true, true) => Err(s3_error!(NotImplemented)),
            (true, false) if self.newest(key).is_ok() => Err(s3_error!(PreconditionFailed)),
            (true, false) => Ok(()),
        }
    }

    fn keep(&self, key: String, mut bytes: Vec<u8>, encryption: Option<ServerSideEncryption>) {
        if self.0.lies.load(Ordering::SeqCst) > 0
            && let Some(byte) = bytes.last_mut()
        {
            *byte ^= 1;
        }
        let encryption = encryption.filter(|_| !self.0.forgets_encryption.load(Ordering::SeqCst));
        let version = Version { id: self.0.id("v"), bytes: Some(bytes), encryption };
        self.0.objects.lock().unwrap().entry(key).or_default().push(version);
    }

    fn newest(&self, key: &str) -> S3Result<(Vec<u8>, Option<ServerSideEncryption>)> {
        let objects = self.0.objects.lock().unwrap();
        let newest = objects.get(key).and_then(|versions| versions.last()).ok_or_else(|| s3_error!(NoSuchKey))?;
        let bytes = newest.bytes.clone().ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok((bytes, newest.encryption.clone()))
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
        self.allows(&input.key, input.if_none_match.is_some())?;
        let bytes = gather(input.body).await?;
        self.keep(input.key, bytes, input.server_side_encryption);
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.is_busy()?;
        let (mut bytes, server_side_encryption) = self.newest(&request.input.key)?;
        if let Some(range) = request.input.range {
            let range = range.check(bytes.len() as u64).map_err(|_| s3_error!(InvalidRange))?;
            bytes = bytes[range.start as usize..range.end as usize].to_vec();
        }
        let length = bytes.len() as i64;
        let body = StreamingBlob::wrap(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(bytes))]));
        Ok(S3Response::new(GetObjectOutput {
            body: Some(body),
            content_length: Some(length),
            server_side_encryption,
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let (bytes, _) = self.newest(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput { content_length: Some(bytes.len() as i64), ..Default::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        if self.0.keeps.load(Ordering::SeqCst) {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        let marker = Version { id: self.0.id("v"), bytes: None, encryption: None };
        let mut objects = self.0.objects.lock().unwrap();
        match (input.version_id, objects.get_mut(&input.key)) {
            (Some(version), Some(versions)) => {
                versions.retain(|known| known.id != version);
                if versions.is_empty() {
                    objects.remove(&input.key);
                }
            }
            (None, Some(versions)) => versions.push(marker),
            (_, None) => {}
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_object_versions(&self, request: S3Request<ListObjectVersionsInput>) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.key_marker.map(|key| (key, input.version_id_marker.unwrap_or_default()));
        let objects = self.0.objects.lock().unwrap();
        let all = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .flat_map(|(key, versions)| versions.iter().map(move |version| (key, version)));
        let mut rest = all.filter(|(key, version)| after.as_ref().is_none_or(|(k, v)| (*key, &version.id) > (k, v)));
        let mut page = ListObjectVersionsOutput { versions: Some(vec![]), delete_markers: Some(vec![]), ..Default::default() };
        for (key, version) in rest.by_ref().take(PAGE) {
            let (key, version_id) = (Some(key.clone()), Some(version.id.clone()));
            (page.next_key_marker, page.next_version_id_marker) = (key.clone(), version_id.clone());
            if version.bytes.is_some() {
                page.versions.get_or_insert_default().push(ObjectVersion { key, version_id, ..Default::default() });
            } else {
                page.delete_markers.get_or_insert_default().push(DeleteMarkerEntry { key, version_id, ..Default::default() });
            }
        }
        page.is_truncated = Some(rest.next().is_some());
        Ok(S3Response::new(page))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.is_busy()?;
        let id = self.0.id("upload");
        let upload = Upload { key: request.input.key, parts: BTreeMap::new(), encryption: request.input.server_side_encryption };
        self.0.uploads.lock().unwrap().insert(id.clone(), upload);
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
        let upload = uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, bytes);
        let e_tag = Some(ETag::Strong(format!("part{}", input.part_number)));
        Ok(S3Response::new(UploadPartOutput { e_tag, checksum_crc32: Some(sum), ..Default::default() }))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let uploads = self.0.uploads.lock().unwrap();
        let upload = uploads.get(&request.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let parts = upload
            .parts
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
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.key_marker.map(|key| (key, input.upload_id_marker.unwrap_or_default()));
        let uploads = self.0.uploads.lock().unwrap();
        let mut all: Vec<_> =
            uploads.iter().map(|(id, upload)| (upload.key.clone(), id.clone())).filter(|(key, _)| key.starts_with(&prefix)).collect();
        all.sort();
        all.retain(|upload| after.as_ref().is_none_or(|after| upload > after));
        let is_truncated = Some(all.len() > PAGE);
        all.truncate(PAGE);
        let (next_key_marker, next_upload_id_marker) = all.last().cloned().unzip();
        let uploads =
            all.into_iter().map(|(key, id)| MultipartUpload { key: Some(key), upload_id: Some(id), ..Default::default() }).collect();
        let page = ListMultipartUploadsOutput {
            uploads: Some(uploads),
            is_truncated,
            next_key_marker,
            next_upload_id_marker,
            ..Default::default()
        };
        Ok(S3Response::new(page))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        self.allows(&input.key, input.if_none_match.is_some())?;
        let named: Vec<i32> =
            input.multipart_upload.and_then(|whole| whole.parts).unwrap_or_default().iter().filter_map(|part| part.part_number).collect();
        let mut uploads = self.0.uploads.lock().unwrap();
        let received = uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        if named != received.parts.keys().copied().collect::<Vec<_>>() {
            return Err(s3_error!(InvalidPart));
        }
        if let Some(upload) = uploads.remove(&input.upload_id) {
            self.keep(upload.key, upload.parts.into_values().flatten().collect(), upload.encryption);
        }
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
