//! Amazon Polly: a prompt's words in, its audio and speech marks out. Credentials, region and endpoint by the SDK's usual chain.

use std::time::Duration;

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_polly::Client;
use aws_sdk_polly::config::Builder;
use aws_sdk_polly::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_polly::primitives::ByteStream;
use aws_sdk_polly::types::{Engine, LanguageCode, OutputFormat, SpeechMarkType, TextType, VoiceId};

use crate::engine::audio::prompts::{Language, PROMPT_SAMPLES_MAX};
use crate::io::aws::shared;

/// Tries of one request, with the SDK's backoff between them.
const TRIES: u32 = 4;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const TRY_WITHIN: Duration = Duration::from_secs(30);
/// No answer is longer: 16-bit audio of the longest prompt.
const ANSWER_MAX: usize = PROMPT_SAMPLES_MAX * 2;

/// Polly, with its neural voices.
pub struct Polly {
    client: Client,
}

/// What was spoken.
pub struct Speech {
    /// 8 kHz, 16 bits, little-endian.
    pub pcm: Vec<u8>,
    /// One JSON object a line.
    pub marks: String,
}

/// Why nothing was spoken.
#[derive(Debug, thiserror::Error)]
pub enum PollyError {
    /// It refused, or could not be reached.
    #[error("Amazon Polly: {0}; check the credentials, the region and the network")]
    Refused(String),
    /// It said more than was asked for.
    #[error("Amazon Polly's answer is longer than {ANSWER_MAX} bytes")]
    Long,
    /// Its marks are no text.
    #[error("Amazon Polly's speech marks are not UTF-8")]
    Marks,
}

impl Polly {
    /// Nothing is asked yet.
    pub async fn open() -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).operation_attempt_timeout(TRY_WITHIN).build();
        let shared = shared(timeouts, TRIES).await;
        let mut config = Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new("us-east-1"));
        }
        Self { client: Client::from_conf(config.build()) }
    }

    /// The voice of a language.
    #[must_use]
    pub const fn voice(language: Language) -> &'static str {
        language.voice()
    }

    /// Speaks SSML: once for the audio, once for its marks. Polly gives the same for the same.
    ///
    /// # Errors
    /// [`PollyError`].
    pub async fn speak(&self, language: Language, ssml: &str) -> Result<Speech, PollyError> {
        let code = LanguageCode::from(language.locale());
        let request = || {
            let request = self.client.synthesize_speech().engine(Engine::Neural).voice_id(VoiceId::from(Self::voice(language)));
            request.language_code(code.clone()).text_type(TextType::Ssml).text(ssml)
        };
        let audio = request().output_format(OutputFormat::Pcm).sample_rate("8000").send().await.map_err(|why| refused(&why))?;
        let marks =
            request().output_format(OutputFormat::Json).speech_mark_types(SpeechMarkType::Ssml).speech_mark_types(SpeechMarkType::Word);
        let marks = marks.send().await.map_err(|why| refused(&why))?;
        let marks = String::from_utf8(whole(marks.audio_stream).await?).map_err(|_| PollyError::Marks)?;
        Ok(Speech { pcm: whole(audio.audio_stream).await?, marks })
    }
}

async fn whole(mut stream: ByteStream) -> Result<Vec<u8>, PollyError> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|why| PollyError::Refused(why.to_string()))?);
        if bytes.len() > ANSWER_MAX {
            return Err(PollyError::Long);
        }
    }
    Ok(bytes)
}

fn refused<E, R>(why: &SdkError<E, R>) -> PollyError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    PollyError::Refused(match (why.code(), why.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => DisplayErrorContext(why).to_string(),
    })
}
