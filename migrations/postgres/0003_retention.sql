-- What waits for deletion, what keeps it from there, who read what, and what case managers still have to write down.

-- A recording that was queued by a revocation. It never leaves the queue but by deletion: a later yes does not rescue it.
CREATE TABLE "RetentionItem" (
  "recordingId"   TEXT COLLATE "C" PRIMARY KEY,
  "orgId"         TEXT COLLATE "C" NOT NULL,
  "clientId"      TEXT COLLATE "C" NOT NULL,
  "callId"        TEXT COLLATE "C" NOT NULL,
  "revocationSeq" BIGINT NOT NULL,              -- the chain entry of the revocation
  "queuedAt"      TIMESTAMPTZ(3) NOT NULL,
  "dueAt"         TIMESTAMPTZ(3) NOT NULL,
  "claimedBy"     TEXT,                         -- who is deleting it, and until when nobody else may
  "claimedUntil"  TIMESTAMPTZ(3),
  "attempts"      BIGINT NOT NULL DEFAULT 0,
  "lastError"     TEXT,                         -- why the last attempt did not delete it
  "deletedAt"     TIMESTAMPTZ(3)                -- a fresh look found nothing of it
);
CREATE INDEX "RetentionItem_due" ON "RetentionItem" ("deletedAt", "dueAt");
CREATE INDEX "RetentionItem_client" ON "RetentionItem" ("orgId", "clientId");

CREATE TABLE "LegalHold" (
  "id"           TEXT COLLATE "C" PRIMARY KEY,
  "orgId"        TEXT COLLATE "C" NOT NULL,
  "clientId"     TEXT COLLATE "C" NOT NULL,
  "reason"       TEXT NOT NULL,
  "placedBy"     TEXT NOT NULL,
  "placedByName" TEXT NOT NULL,
  "placedAt"     TIMESTAMPTZ(3) NOT NULL,
  "liftedBy"     TEXT,
  "liftedByName" TEXT,
  "liftedAt"     TIMESTAMPTZ(3)
);
CREATE INDEX "LegalHold_client" ON "LegalHold" ("orgId", "clientId");

-- Every read of a recording and every denial, each beside its entry in the chain.
CREATE TABLE "AccessLog" (
  "orgId"       TEXT COLLATE "C" NOT NULL,
  "auditSeq"    BIGINT NOT NULL,
  "at"          TIMESTAMPTZ(3) NOT NULL,
  "userId"      TEXT COLLATE "C" NOT NULL,
  "what"        TEXT NOT NULL,
  "outcome"     TEXT NOT NULL CHECK ("outcome" IN ('ALLOWED', 'DENIED', 'QUEUED', 'DELETED')),
  "recordingId" TEXT COLLATE "C",
  "callId"      TEXT COLLATE "C",
  "clientId"    TEXT COLLATE "C",
  PRIMARY KEY ("orgId", "auditSeq")
);
CREATE INDEX "AccessLog_recording" ON "AccessLog" ("recordingId");
CREATE INDEX "AccessLog_user" ON "AccessLog" ("orgId", "userId");

-- US-4: the notes of a call that no recording keeps. Its id is the interaction's.
CREATE TABLE "DocumentationTask" (
  "id"            TEXT COLLATE "C" PRIMARY KEY,
  "orgId"         TEXT COLLATE "C" NOT NULL,
  "caseManagerId" TEXT COLLATE "C" NOT NULL,
  "clientId"      TEXT COLLATE "C" NOT NULL,
  "callId"        TEXT COLLATE "C" NOT NULL,
  "reason"        "UnrecordedReason" NOT NULL,
  "createdAt"     TIMESTAMPTZ(3) NOT NULL,
  "completedAt"   TIMESTAMPTZ(3)
);
CREATE INDEX "DocumentationTask_caseManager" ON "DocumentationTask" ("orgId", "caseManagerId", "createdAt");
