-- What other systems have made of calls, so that retention and deletion reach it. Its content is with its owner.

CREATE TABLE "Artifact" (
  "id"            TEXT PRIMARY KEY,
  "orgId"         TEXT NOT NULL,
  "callId"        TEXT NOT NULL,
  "clientId"      TEXT NOT NULL,
  "kind"          TEXT NOT NULL CHECK ("kind" IN ('RECORDING', 'TRANSCRIPT', 'SUMMARY', 'SENTIMENT', 'QA_SCORE', 'AGENT_NOTES', 'CRM_SYNC')),
  "ownerId"       TEXT NOT NULL,                -- its id where it lies
  "registeredBy"  TEXT NOT NULL,
  "registeredAt"  TEXT NOT NULL,
  "revocationSeq" INTEGER,                      -- the chain entry of the revocation that queued it
  "queuedAt"      TEXT,
  "dueAt"         TEXT,
  "asks"          INTEGER NOT NULL DEFAULT 0,   -- how often its owner has taken the request to delete it
  "askedAt"       TEXT,
  "alarmedAt"     TEXT,                         -- overdue, and that was told
  "deletedAt"     TEXT,                         -- its owner said so
  "deletedBy"     TEXT,
  UNIQUE ("orgId", "ownerId")
);
CREATE INDEX "Artifact_call" ON "Artifact" ("callId");
CREATE INDEX "Artifact_client" ON "Artifact" ("orgId", "clientId");
CREATE INDEX "Artifact_due" ON "Artifact" ("deletedAt", "dueAt");
