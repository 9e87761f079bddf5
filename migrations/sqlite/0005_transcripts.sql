-- Transcripts of recordings, a row a version. A row is there before anything is stored, so that a deletion finds what a crash left.
CREATE TABLE "Transcript" (
  "id"           TEXT NOT NULL,
  "version"      INTEGER NOT NULL,
  "recordingId"  TEXT NOT NULL,
  "callId"       TEXT NOT NULL,
  "orgId"        TEXT NOT NULL,
  "clientId"     TEXT NOT NULL,
  "state"        TEXT NOT NULL,                 -- as of a recording
  "redaction"    TEXT NOT NULL,                 -- REDACTED: nothing else is stored
  "languageCode" TEXT NOT NULL,
  "recogniser"   TEXT NOT NULL,                 -- the protocol it spoke
  "objectKey"    TEXT NOT NULL,                 -- where it lies, or would lie
  "isComplete"   BOOLEAN NOT NULL,              -- whether everything captured was transcribed
  "sha256"       TEXT,                          -- once it is stored
  "bytes"        INTEGER,
  "reason"       TEXT,                          -- why it failed
  "createdAt"    TEXT NOT NULL,
  "finishedAt"   TEXT,
  PRIMARY KEY ("id", "version")
);
CREATE INDEX "Transcript_recording" ON "Transcript" ("recordingId", "version");
CREATE INDEX "Transcript_open" ON "Transcript" ("state");
