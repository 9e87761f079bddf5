-- What waits for deletion, what keeps it from there, who read what, and what case managers still have to write down.

-- A recording that was queued by a revocation. It never leaves the queue but by deletion: a later yes does not rescue it.
CREATE TABLE "RetentionItem" (
  "recordingId"   TEXT PRIMARY KEY,
  "orgId"         TEXT NOT NULL,
  "clientId"      TEXT NOT NULL,
  "callId"        TEXT NOT NULL,
  "revocationSeq" INTEGER NOT NULL,             -- the chain entry of the revocation
  "queuedAt"      TEXT NOT NULL,
  "dueAt"         TEXT NOT NULL,
  "claimedBy"     TEXT,                         -- who is deleting it, and until when nobody else may
  "claimedUntil"  TEXT,
  "attempts"      INTEGER NOT NULL DEFAULT 0,
  "lastError"     TEXT,                         -- why the last attempt did not delete it
  "deletedAt"     TEXT                          -- a fresh look found nothing of it
);
CREATE INDEX "RetentionItem_due" ON "RetentionItem" ("deletedAt", "dueAt");
CREATE INDEX "RetentionItem_client" ON "RetentionItem" ("orgId", "clientId");

CREATE TABLE "LegalHold" (
  "id"           TEXT PRIMARY KEY,
  "orgId"        TEXT NOT NULL,
  "clientId"     TEXT NOT NULL,
  "reason"       TEXT NOT NULL,
  "placedBy"     TEXT NOT NULL,
  "placedByName" TEXT NOT NULL,
  "placedAt"     TEXT NOT NULL,
  "liftedBy"     TEXT,
  "liftedByName" TEXT,
  "liftedAt"     TEXT
);
-- One in force a client.
CREATE UNIQUE INDEX "LegalHold_in_force" ON "LegalHold" ("orgId", "clientId") WHERE "liftedAt" IS NULL;

-- Every read of a recording and every denial, each beside its entry in the chain.
CREATE TABLE "AccessLog" (
  "orgId"       TEXT NOT NULL,
  "auditSeq"    INTEGER NOT NULL,
  "at"          TEXT NOT NULL,
  "userId"      TEXT NOT NULL,
  "what"        TEXT NOT NULL,
  "outcome"     TEXT NOT NULL CHECK ("outcome" IN ('ALLOWED', 'DENIED', 'QUEUED', 'DELETED')),
  "recordingId" TEXT,
  "callId"      TEXT,
  "clientId"    TEXT,
  PRIMARY KEY ("orgId", "auditSeq")
);
CREATE INDEX "AccessLog_recording" ON "AccessLog" ("recordingId");
CREATE INDEX "AccessLog_user" ON "AccessLog" ("orgId", "userId");

-- US-4: the notes of a call that no recording keeps. Its id is the interaction's.
CREATE TABLE "DocumentationTask" (
  "id"            TEXT PRIMARY KEY,
  "orgId"         TEXT NOT NULL,
  "caseManagerId" TEXT NOT NULL,
  "clientId"      TEXT NOT NULL,
  "callId"        TEXT NOT NULL,
  "reason"        TEXT NOT NULL,
  "createdAt"     TEXT NOT NULL,
  "completedAt"   TEXT
);
CREATE INDEX "DocumentationTask_caseManager" ON "DocumentationTask" ("orgId", "caseManagerId", "createdAt");
