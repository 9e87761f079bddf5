//! A line that is an event stream of Amazon Transcribe: 16-bit PCM in signed messages, its results as events.
//!
//! Nothing is asked for that makes Amazon keep or change anything: no session that could be taken up again, no vocabulary, no filter,
//! no redaction but our own. That the audio serves to better Amazon's models is refused for a whole organisation, not in a request.

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
pub(super) use aws_sdk_transcribestreaming::Client;
use aws_sdk_transcribestreaming::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_transcribestreaming::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_transcribestreaming::primitives::Blob;
use aws_sdk_transcribestreaming::primitives::event_stream::{EventReceiver, EventStreamSender};
use aws_sdk_transcribestreaming::types::error::TranscriptResultStreamError;
use aws_sdk_transcribestreaming::types::{
    AudioEvent, AudioStream, Item, ItemType, LanguageCode, MediaEncoding, TranscriptEvent, TranscriptResultStream,
};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;

use super::line::{Broken, Heard};
use super::{ANSWER_WITHIN, Nonsense, Said, SaidWord, put_pcm, unit};
use crate::engine::audio::prompts::Language;
use crate::engine::consent::Admitted;
use crate::io::aws::shared_in;

/// Messages that wait to be signed and sent.
const QUEUE_MAX: usize = 4;
/// Bytes of 16-bit audio of a batch.
const CHUNK_ROOM: usize = 3_200;

/// One stream, from its first audio on.
pub(super) struct Stream {
    /// `None` after the farewell. What holds its other end signs an empty message when it is dropped, and so ends the stream.
    audio: Option<mpsc::Sender<AudioStream>>,
    words: EventReceiver<TranscriptResultStream, TranscriptResultStreamError>,
}

/// Nothing is asked yet.
pub(super) async fn client(region: &str) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(ANSWER_WITHIN).build();
    // A stream is tried once: who holds the line knows what of it was heard, and tries again.
    let shared = shared_in(Region::new(region.to_owned()), timeouts, 1).await;
    // Amazon says nothing for as long as a party says nothing.
    let patient = Builder::from(&shared).stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(patient.build())
}

impl Stream {
    pub(super) async fn open(client: &Client, language: &str, first: &[(u64, Admitted)]) -> Result<Self, Broken> {
        let (audio, mut taken) = mpsc::channel(QUEUE_MAX);
        // Whether it answers before it was sent any audio is nowhere said.
        let _ = audio.try_send(chunk(first));
        let request = client.start_stream_transcription().language_code(LanguageCode::from(locale(language)));
        let request = request.media_encoding(MediaEncoding::Pcm).media_sample_rate_hertz(8_000);
        let request =
            request.audio_stream(EventStreamSender::from(poll_fn(move |context| taken.poll_recv(context).map(|next| next.map(Ok)))));
        let answer = request.send().await.map_err(|why| broken(why.code(), &why))?;
        Ok(Self { audio: Some(audio), words: answer.transcript_result_stream })
    }

    pub(super) async fn send(&mut self, frames: &[(u64, Admitted)]) -> Result<(), Broken> {
        let Some(audio) = &self.audio else { return Ok(()) };
        if audio.send(chunk(frames)).await.is_ok() {
            return Ok(());
        }
        // Nobody takes audio any more; what still comes says why.
        loop {
            match self.hear().await? {
                Heard::Said(_) => {}
                Heard::Over => return Err(Broken::HungUp),
            }
        }
    }

    pub(super) fn farewell(&mut self) {
        self.audio = None;
    }

    pub(super) async fn hear(&mut self) -> Result<Heard, Broken> {
        match self.words.recv().await {
            // An event that this SDK does not know yet says nothing.
            Ok(Some(event)) => Ok(Heard::Said(event.as_transcript_event().map(said).unwrap_or_default())),
            Ok(None) => Ok(Heard::Over),
            Err(SdkError::DispatchFailure(_)) => Err(Broken::HungUp),
            Err(why) => Err(broken(why.as_service_error().and_then(named), &why)),
        }
    }
}

fn chunk(frames: &[(u64, Admitted)]) -> AudioStream {
    let mut pcm = Vec::with_capacity(CHUNK_ROOM);
    for (_, frame) in frames {
        put_pcm(frame.codes(), &mut pcm);
    }
    AudioStream::AudioEvent(AudioEvent::builder().audio_chunk(Blob::new(pcm)).build())
}

/// The language as Amazon names it. One that callgate has no prompt in is passed on as it is.
fn locale(language: &str) -> &str {
    Language::of_code(language).map_or(language, |language| language.locale())
}

/// What stands of an event's results.
fn said(event: &TranscriptEvent) -> Vec<Said> {
    let results = event.transcript().map(|transcript| transcript.results()).unwrap_or_default();
    let standing = results.iter().filter(|result| !result.is_partial());
    let said = standing.filter_map(|result| {
        let (first, others) = result.alternatives().split_first()?;
        let text = |transcript: Option<&str>| transcript.unwrap_or_default().to_owned();
        let other = others.iter().map(|other| {
            let words = words(other.items());
            let sure = mean(&words);
            (text(other.transcript()), words, sure)
        });
        Some(Said {
            text: text(first.transcript()),
            between: Some((result.start_time(), result.end_time())),
            words: words(first.items()),
            alternatives: other.collect(),
        })
    });
    said.collect()
}

/// Words with the punctuation that belongs to them, as they stand in the text.
fn words(items: &[Item]) -> Vec<SaidWord> {
    let mut words: Vec<SaidWord> = Vec::with_capacity(items.len());
    let mut opening = String::new();
    for item in items {
        let Some(content) = item.content() else { continue };
        if item.r#type() != Some(&ItemType::Punctuation) {
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
            let confidence = unit(item.confidence().unwrap_or_default() as f32);
            let text = std::mem::take(&mut opening) + content;
            words.push(SaidWord { text, start: item.start_time(), end: item.end_time(), confidence });
        } else if matches!(content, "¿" | "¡") {
            opening.push_str(content);
        } else if let Some(last) = words.last_mut() {
            last.text.push_str(content);
        }
    }
    words
}

/// Amazon says how sure it is of words, not of a whole.
fn mean(words: &[SaidWord]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "an utterance's words")]
    let count = words.len().max(1) as f32;
    words.iter().map(|word| word.confidence).sum::<f32>() / count
}

/// The code of an error in the middle of a stream. It stands in no place where the SDK would look for it.
fn named(why: &TranscriptResultStreamError) -> Option<&'static str> {
    let known = [
        (why.is_bad_request_exception(), "BadRequestException"),
        (why.is_conflict_exception(), "ConflictException"),
        (why.is_internal_failure_exception(), "InternalFailureException"),
        (why.is_limit_exceeded_exception(), "LimitExceededException"),
        (why.is_service_unavailable_exception(), "ServiceUnavailableException"),
    ];
    known.into_iter().find(|(is_it, _)| *is_it).map(|(_, code)| code)
}

/// The error in our words: Amazon's own may say anything.
fn broken<E, R>(code: Option<&str>, why: &SdkError<E, R>) -> Broken {
    let told = match (code, why) {
        (
            Some(
                code @ ("AccessDeniedException"
                | "BadRequestException"
                | "ExpiredTokenException"
                | "InvalidSignatureException"
                | "SubscriptionRequiredException"
                | "UnrecognizedClientException"),
            ),
            _,
        ) => format!("refused it ({code}); check the credentials, the region and the permission transcribe:StartStreamTranscription"),
        (Some(code @ ("LimitExceededException" | "ThrottlingException")), _) => {
            format!("allows no more streams ({code}); check the account's quota of concurrent streams")
        }
        (Some(code @ ("ConflictException" | "InternalFailureException" | "ServiceUnavailableException")), _) => format!("failed ({code})"),
        (_, SdkError::TimeoutError(_)) => return Broken::Late,
        (_, SdkError::ResponseError(_)) => return Nonsense.into(),
        (_, SdkError::DispatchFailure(_)) => "cannot be reached; check the region, the credentials and the network".to_owned(),
        (None, SdkError::ConstructionFailure(_)) => "cannot be asked; check the credentials".to_owned(),
        (_, _) => "failed, for a reason that is not known here".to_owned(),
    };
    Broken::Amazon(told)
}

#[cfg(test)]
mod tests {
    use aws_sdk_transcribestreaming::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_transcribestreaming::operation::start_stream_transcription::StartStreamTranscriptionError;
    use aws_sdk_transcribestreaming::types::{Alternative, Result as Told, Transcript};

    use super::*;

    fn item(kind: ItemType, content: &str, start: f64, end: f64) -> Item {
        Item::builder().r#type(kind).content(content).start_time(start).end_time(end).confidence(0.75).build()
    }

    fn spoken(content: &str, start: f64, end: f64) -> Item {
        item(ItemType::Pronunciation, content, start, end)
    }

    fn mark(content: &str, at: f64) -> Item {
        item(ItemType::Punctuation, content, at, at)
    }

    fn alternative(transcript: &str, items: Vec<Item>) -> Alternative {
        Alternative::builder().transcript(transcript).set_items(Some(items)).build()
    }

    fn result(is_partial: bool, alternatives: Vec<Alternative>) -> Told {
        Told::builder().is_partial(is_partial).start_time(3.0).end_time(4.5).set_alternatives(Some(alternatives)).build()
    }

    fn event(results: Vec<Told>) -> TranscriptEvent {
        TranscriptEvent::builder().transcript(Transcript::builder().set_results(Some(results)).build()).build()
    }

    #[test]
    fn what_stands_is_read_with_its_words_and_what_may_change_is_not() {
        let green = vec![spoken("Green", 3.1, 3.5), mark(",", 3.5), spoken("lighthouse", 3.5, 4.2), mark(".", 4.2)];
        let other = vec![spoken("Greene", 3.1, 3.5), spoken("lighthouse", 3.5, 4.2)];
        let told = event(vec![
            result(true, vec![alternative("Green light", vec![spoken("Green", 3.1, 3.5)])]),
            result(false, vec![alternative("Green, lighthouse.", green), alternative("Greene lighthouse", other)]),
            result(false, Vec::new()),
        ]);
        let said = said(&told);
        let [said] = &said[..] else { panic!("{} stand", said.len()) };
        let words: Vec<_> = said.words.iter().map(|word| (word.text.as_str(), word.start, word.end, word.confidence)).collect();
        assert_eq!(words, [("Green,", 3.1, 3.5, 0.75), ("lighthouse.", 3.5, 4.2, 0.75)]);
        assert_eq!((said.text.as_str(), said.between), ("Green, lighthouse.", Some((3.0, 4.5))));
        let (text, words, sure) = &said.alternatives[0];
        assert_eq!((text.as_str(), words.len(), *sure), ("Greene lighthouse", 2, 0.75));
        assert!(super::said(&event(Vec::new())).is_empty() && super::said(&TranscriptEvent::builder().build()).is_empty());
    }

    #[test]
    fn marks_belong_to_the_word_that_they_stand_at() {
        let items = [mark(".", 0.0), mark("¿", 0.0), spoken("Cómo", 0.0, 0.4), spoken("estás", 0.4, 0.8), mark("?", 0.8), mark("¡", 0.9)];
        let words: Vec<_> = words(&items).into_iter().map(|word| word.text).collect();
        assert_eq!(words, ["¿Cómo", "estás?"]);
        assert!(super::words(&[Item::builder().build()]).is_empty(), "a word without letters is none");
        let unsure = Item::builder().content("hm").confidence(f64::NAN).build();
        assert_eq!(super::words(&[unsure])[0].confidence, 0.0);
    }

    #[test]
    fn languages_are_named_with_their_country() {
        for (language, named) in [("en", "en-US"), ("es", "es-US"), ("fr", "fr-FR"), ("pt-BR", "pt-BR"), ("xx", "xx")] {
            assert_eq!(locale(language), named);
            assert!(named == "xx" || LanguageCode::try_parse(named).is_ok(), "Amazon knows {named}");
        }
    }

    #[test]
    fn errors_are_told_in_our_own_words() {
        let error = |code: &str| ErrorMetadata::builder().code(code).message("she said framebcde").build();
        let told = |code: &str| {
            let why = SdkError::service_error(StartStreamTranscriptionError::generic(error(code)), ());
            broken(why.code(), &why).to_string()
        };
        for (code, wanted) in [
            ("AccessDeniedException", "permission transcribe:StartStreamTranscription"),
            ("BadRequestException", "check the credentials, the region"),
            ("LimitExceededException", "quota"),
            ("InternalFailureException", "failed (InternalFailureException)"),
            ("framebcde", "not known here"),
        ] {
            let told = told(code);
            assert!(told.starts_with("Amazon Transcribe ") && told.contains(wanted) && !told.contains("framebcde"), "{told}");
        }
        let away: SdkError<(), ()> = SdkError::dispatch_failure(ConnectorError::io("secret".into()));
        assert_eq!(
            broken(None, &away).to_string(),
            "Amazon Transcribe cannot be reached; check the region, the credentials and the network"
        );
        assert!(matches!(broken::<(), ()>(None, &SdkError::timeout_error("late")), Broken::Late));
        assert!(matches!(broken::<(), ()>(None, &SdkError::response_error("mad", ())), Broken::Nonsense(_)));
    }
}
