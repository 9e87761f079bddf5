//! The life of one party's recogniser: connect, send, read, end; again when it breaks, and not for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::line::{Broken, Heard, Line, Lines};
use super::{FINAL_WITHIN, IDLE_AFTER, Order, PAUSE_FIRST, PAUSE_MAX, Said, SaidWord, TRIES, seconds};
use crate::engine::consent::Admitted;
use crate::engine::redact::{ALTERNATIVES_MAX, Alternative, Speaker, Utterance, Word};
use crate::engine::time::SAMPLES_PER_MS;
use crate::engine::transcript::Sent;

/// What a listener tells. Times are milliseconds of the call.
#[derive(Debug)]
pub enum Told {
    /// Words that stand.
    Final(Utterance),
    /// All that was said before was told.
    Reached(u64),
    /// Nobody will tell what was said between, for this reason.
    Missed(u64, u64, String),
    /// Everything handed over before the last [`Order::Finish`] was told, or never will be.
    Finished,
    /// It was tried often enough.
    GaveUp(GaveUp),
}

/// Why a recogniser is given up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the recogniser failed {TRIES} times on end, the last time because {0}")]
pub struct GaveUp(String);

/// How a stream ended that was not broken.
#[derive(Clone, Copy)]
enum End {
    /// By order, or for want of audio.
    Finished,
    /// Nobody gives orders any more.
    Dropped,
}

struct Listening {
    lines: Arc<Lines>,
    speaker: Speaker,
    language: String,
    orders: mpsc::Receiver<Order>,
    tell: mpsc::Sender<(Speaker, Told)>,
    /// Attempts on end that failed.
    failures: u32,
}

/// One stream of a recogniser.
#[derive(Default)]
struct Stream {
    sent: Sent,
    /// Up to where its words were told, in milliseconds of the call.
    told_ms: Option<u64>,
    /// Somebody waits to hear that it is over.
    is_ordered_to_end: bool,
}

pub(super) async fn run(
    lines: Arc<Lines>,
    speaker: Speaker,
    language: String,
    orders: mpsc::Receiver<Order>,
    tell: mpsc::Sender<(Speaker, Told)>,
) {
    let mut listening = Listening { lines, speaker, language, orders, tell, failures: 0 };
    while let Some(order) = listening.orders.recv().await {
        match order {
            Order::Finish => listening.tell(Told::Finished).await,
            Order::Audio(first) => {
                let Some(mut line) = listening.open(&first).await else { return };
                let mut stream = Stream::default();
                stream.takes(&first);
                match listening.stream(&mut line, &mut stream).await {
                    Ok(End::Finished) => {}
                    Ok(End::Dropped) => return,
                    Err(why) => {
                        if let Some(missed) = stream.missed(format!("the recogniser failed: {why}")) {
                            listening.tell(missed).await;
                        }
                        if stream.is_ordered_to_end {
                            listening.tell(Told::Finished).await;
                        }
                        if !listening.failed(&why).await {
                            return;
                        }
                    }
                }
            }
        }
    }
}

impl Listening {
    async fn tell(&self, told: Told) {
        // Whoever is gone needs to know nothing more.
        let _ = self.tell.send((self.speaker, told)).await;
    }

    /// Waits before the next attempt. `false`: there is none.
    async fn failed(&mut self, why: &Broken) -> bool {
        self.failures += 1;
        if self.failures >= TRIES {
            self.tell(Told::GaveUp(GaveUp(why.to_string()))).await;
            return false;
        }
        let pause = pause(self.failures);
        tracing::warn!(error = %why, "transcriber: the recogniser failed; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        true
    }

    /// A line that has taken this audio. `None`: there is none, however often it was tried.
    async fn open(&mut self, first: &[(u64, Admitted)]) -> Option<Line> {
        loop {
            match self.lines.open(&self.language, first).await {
                Ok(line) => return Some(line),
                Err(why) => {
                    if !self.failed(&why).await {
                        return None;
                    }
                }
            }
        }
    }

    /// A stream from its second audio to its end.
    async fn stream(&mut self, line: &mut Line, stream: &mut Stream) -> Result<End, Broken> {
        // How it ends, and whether that was an order, once it does.
        let mut end = None;
        let mut said_farewell = false;
        let mut until = Instant::now() + IDLE_AFTER;
        loop {
            tokio::select! {
                order = self.orders.recv(), if end.is_none() => match order {
                    Some(Order::Audio(frames)) => {
                        stream.takes(&frames);
                        line.send(&frames).await?;
                        until = Instant::now() + IDLE_AFTER;
                        if stream.sent.is_full() {
                            end = Some(End::Finished);
                        }
                    }
                    Some(Order::Finish) => {
                        stream.is_ordered_to_end = true;
                        end = Some(End::Finished);
                    }
                    None => end = Some(End::Dropped),
                },
                heard = line.hear() => match (heard?, end) {
                    (Heard::Said(said), _) => self.hear(stream, said).await,
                    (Heard::Over, Some(end)) => {
                        self.finished(stream, true).await;
                        return Ok(end);
                    }
                    (Heard::Over, None) => return Err(Broken::HungUp),
                },
                () = tokio::time::sleep_until(until) => match end {
                    // Its last words never came.
                    Some(end) => {
                        self.finished(stream, false).await;
                        return Ok(end);
                    }
                    None => end = Some(End::Finished),
                },
            }
            if end.is_some() && !said_farewell {
                said_farewell = true;
                until = Instant::now() + FINAL_WITHIN;
                line.farewell().await?;
            }
        }
    }

    async fn finished(&mut self, stream: &Stream, in_full: bool) {
        let told = if in_full {
            // One that had nothing to say has said so.
            self.failures = 0;
            stream.sent.end().map(|end| Told::Reached(end / SAMPLES_PER_MS))
        } else {
            stream.missed(format!("the recogniser did not tell its last words within {FINAL_WITHIN:?}"))
        };
        if let Some(told) = told {
            self.tell(told).await;
        }
        if stream.is_ordered_to_end {
            self.tell(Told::Finished).await;
        }
    }

    async fn hear(&mut self, stream: &mut Stream, said: Vec<Said>) {
        self.failures = 0;
        for said in said {
            if let Some(utterance) = placed(self.speaker, said, stream) {
                stream.told_ms = Some(stream.told_ms.unwrap_or(0).max(utterance.end_ms));
                self.tell(Told::Final(utterance)).await;
            }
        }
    }
}

/// What was said, where in the call it was said. Words of which that cannot be told are none.
fn placed(speaker: Speaker, said: Said, stream: &Stream) -> Option<Utterance> {
    let place = |words: Vec<SaidWord>| -> Vec<Word> {
        let mut last_ms = 0;
        let mut placed = Vec::with_capacity(words.len());
        for SaidWord { text, start, end, confidence } in words {
            // In order: a list that jumps back is no list of words said one after the other.
            if let Some((start_ms, end_ms)) = stream.sent.in_call_ms(start * 1_000.0, end * 1_000.0)
                && start_ms >= last_ms
            {
                last_ms = start_ms;
                placed.push(Word { text, start_ms, end_ms, confidence });
            }
        }
        placed
    };
    let told = said.words.len();
    let words = place(said.words);
    let lost_some = words.len() < told;
    let (start_ms, end_ms) = match (words.first(), words.last()) {
        (Some(first), Some(last)) => (first.start_ms, words.iter().map(|word| word.end_ms).max().unwrap_or(last.end_ms)),
        _ if told > 0 => return None,
        _ => {
            let (start, end) = said.between.unwrap_or_else(|| stream.since_told());
            stream.sent.in_call_ms(start * 1_000.0, end * 1_000.0)?
        }
    };
    // A text that says more than the words that have a place says it of nowhere.
    let text = if lost_some { words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ") } else { said.text };
    if text.trim().is_empty() {
        return None;
    }
    let alternatives = said.alternatives.into_iter().filter(|_| !lost_some).take(ALTERNATIVES_MAX);
    let alternatives = alternatives.map(|(text, words, confidence)| Alternative { text, words: place(words), confidence }).collect();
    Some(Utterance { speaker, text, start_ms, end_ms, words, alternatives })
}

impl Stream {
    /// This is sent, or lost with it.
    fn takes(&mut self, frames: &[(u64, Admitted)]) {
        for (in_call, frame) in frames {
            self.sent.more(*in_call, frame.codes().len() as u64);
        }
    }

    /// What of it nobody will tell.
    fn missed(&self, why: String) -> Option<Told> {
        let end_ms = self.sent.end()? / SAMPLES_PER_MS;
        let from_ms = self.told_ms.or_else(|| self.sent.in_call_ms(0.0, 0.0).map(|(start, _)| start)).unwrap_or(end_ms);
        Some(Told::Missed(from_ms.min(end_ms), end_ms, why))
    }

    /// From its last words to its last audio, in seconds of the stream: where words lie that have no times.
    fn since_told(&self) -> (f64, f64) {
        let all = seconds(self.sent.samples());
        let first_ms = self.sent.in_call_ms(0.0, 0.0).map_or(0, |(first, _)| first);
        #[expect(clippy::cast_precision_loss, reason = "hours of milliseconds")]
        let told = self.told_ms.map_or(0.0, |told| told.saturating_sub(first_ms) as f64 / 1_000.0);
        (told.min(all), all)
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}
