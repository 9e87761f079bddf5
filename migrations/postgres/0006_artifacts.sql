-- What other systems have made of calls, so that retention and deletion reach it. Its content is with its owner.

CREATE TYPE "ArtifactKind" AS ENUM ('RECORDING', 'TRANSCRIPT', 'SUMMARY', 'SENTIMENT', 'QA_SCORE', 'AGENT_NOTES', 'CRM_SYNC');

CREATE TABLE "Artifact" (
  "id"            TEXT COLLATE "C" PRIMARY KEY,
  "orgId"         TEXT COLLATE "C" NOT NULL,
  "callId"        TEXT COLLATE "C" NOT NULL,
  "clientId"      TEXT COLLATE "C" NOT NULL,
  "kind"          "ArtifactKind" NOT NULL,
  "ownerId"       TEXT COLLATE "C" NOT NULL,    -- its id where it lies
  "registeredBy"  TEXT NOT NULL,
  "registeredAt"  TIMESTAMPTZ(3) NOT NULL,
  "revocationSeq" BIGINT,                       -- the chain entry of the revocation that queued it
  "queuedAt"      TIMESTAMPTZ(3),
  "dueAt"         TIMESTAMPTZ(3),
  "asks"          BIGINT NOT NULL DEFAULT 0,    -- how often its owner has taken the request to delete it
  "askedAt"       TIMESTAMPTZ(3),
  "alarmedAt"     TIMESTAMPTZ(3),               -- overdue, and that was told
  "deletedAt"     TIMESTAMPTZ(3),               -- its owner said so
  "deletedBy"     TEXT,
  UNIQUE ("orgId", "ownerId")
);
CREATE INDEX "Artifact_call" ON "Artifact" ("callId");
CREATE INDEX "Artifact_client" ON "Artifact" ("orgId", "clientId");
CREATE INDEX "Artifact_due" ON "Artifact" ("deletedAt", "dueAt");
