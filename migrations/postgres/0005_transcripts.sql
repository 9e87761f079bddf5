-- Transcripts of recordings, a row a version. A row is there before anything is stored, so that a deletion finds what a crash left.

CREATE TABLE "Transcript" (
  "id"           TEXT COLLATE "C" NOT NULL,
  "version"      BIGINT NOT NULL,
  "recordingId"  TEXT COLLATE "C" NOT NULL,
  "callId"       TEXT COLLATE "C" NOT NULL,
  "orgId"        TEXT COLLATE "C" NOT NULL,
  "clientId"     TEXT COLLATE "C" NOT NULL,
  "state"        "RecordingState" NOT NULL,
  "redaction"    TEXT NOT NULL,                 -- REDACTED: nothing else is stored
  "languageCode" TEXT NOT NULL,
  "recogniser"   TEXT NOT NULL,                 -- the protocol it spoke
  "objectKey"    TEXT NOT NULL,                 -- where it lies, or would lie
  "isComplete"   BOOLEAN NOT NULL,              -- whether everything captured was transcribed
  "sha256"       TEXT,                          -- once it is stored
  "bytes"        BIGINT,
  "reason"       TEXT,                          -- why it failed
  "createdAt"    TIMESTAMPTZ(3) NOT NULL,
  "finishedAt"   TIMESTAMPTZ(3),
  PRIMARY KEY ("id", "version")
);
CREATE INDEX "Transcript_recording" ON "Transcript" ("recordingId", "version");
CREATE INDEX "Transcript_open" ON "Transcript" ("state");
