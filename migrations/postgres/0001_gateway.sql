-- PX-735's names, in its own spelling, and in types that Prisma reads as DateTime, Boolean, Json and enums.
-- Ids sort by their bytes ("C"), as they do in SQLite: a verification goes through the chains in the same order on both.

CREATE TYPE "ConsentStatus" AS ENUM ('GRANTED', 'REVOKED');
CREATE TYPE "ConsentCollectionMethod" AS ENUM ('KEYPRESS', 'SILENCE_TIMEOUT', 'VERBAL', 'WRITTEN');
CREATE TYPE "CallDirection" AS ENUM ('INBOUND', 'OUTBOUND');
CREATE TYPE "CallPhase" AS ENUM ('CREATED', 'PROMPTING', 'AWAITING_RESPONSE', 'CONNECTED', 'ENDED', 'ABANDONED');
CREATE TYPE "InteractionType" AS ENUM ('VOIP_CALL', 'IN_PERSON', 'VIDEO_CALL');
CREATE TYPE "UnrecordedReason" AS ENUM ('CLIENT_OPT_OUT', 'PRIOR_OPT_OUT', 'SYSTEM_ERROR', 'MANUAL_OVERRIDE');
CREATE TYPE "RecordingState" AS ENUM ('NOT_STARTED', 'ACTIVE', 'PAUSED', 'HALTED', 'FINISHED', 'DISCARDED', 'FAILED');

CREATE TABLE "ConsentRecord" (
  "id"            TEXT COLLATE "C" PRIMARY KEY,
  "orgId"         TEXT COLLATE "C" NOT NULL,
  "clientId"      TEXT COLLATE "C" NOT NULL,
  "callId"        TEXT COLLATE "C",
  "version"       BIGINT NOT NULL,              -- counts this client's records from 1
  "status"        "ConsentStatus" NOT NULL,
  "method"        "ConsentCollectionMethod" NOT NULL,
  "languageCode"  TEXT NOT NULL DEFAULT 'en',
  "promptVersion" TEXT NOT NULL DEFAULT 'v1',
  "at"            TIMESTAMPTZ(3) NOT NULL,
  "auditSeq"      BIGINT NOT NULL,              -- the chain entry that carries it
  "record"        TEXT NOT NULL,                -- the whole of it, canonical JSON: these bytes are committed to
  "salt"          TEXT NOT NULL,                -- the entry holds a commitment to salt and record, no names
  UNIQUE ("orgId", "clientId", "version"),
  UNIQUE ("orgId", "auditSeq")
);

CREATE TABLE "AuditEvent" (
  "orgId"    TEXT COLLATE "C" NOT NULL,
  "seq"      BIGINT NOT NULL,
  "hash"     TEXT NOT NULL,
  "entry"    TEXT NOT NULL,                     -- canonical JSON (RFC 8785): these bytes are hashed
  "kind"     TEXT NOT NULL,
  "clientId" TEXT COLLATE "C",
  "callId"   TEXT COLLATE "C",
  "at"       TIMESTAMPTZ(3) NOT NULL,
  PRIMARY KEY ("orgId", "seq")
);
CREATE INDEX "AuditEvent_client" ON "AuditEvent" ("orgId", "clientId", "seq");
CREATE INDEX "AuditEvent_call" ON "AuditEvent" ("callId", "seq");

CREATE TABLE "Call" (
  "id"               TEXT COLLATE "C" PRIMARY KEY,
  "callSid"          TEXT COLLATE "C" NOT NULL,
  "clientId"         TEXT COLLATE "C" NOT NULL,
  "caseManagerId"    TEXT COLLATE "C" NOT NULL,
  "orgId"            TEXT COLLATE "C" NOT NULL,
  "direction"        "CallDirection" NOT NULL,
  "phase"            "CallPhase" NOT NULL,
  "consentGrantedAt" TIMESTAMPTZ(3),
  "consentMethod"    "ConsentCollectionMethod",
  "languageCode"     TEXT,
  "promptVersion"    TEXT,
  "isRecorded"       BOOLEAN NOT NULL,
  "unrecordedReason" "UnrecordedReason",
  "recordingId"      TEXT COLLATE "C",
  "startedAt"        TIMESTAMPTZ(3) NOT NULL,
  "connectedAt"      TIMESTAMPTZ(3),
  "endedAt"          TIMESTAMPTZ(3),
  "durationSeconds"  INTEGER,
  "state"            JSONB NOT NULL             -- the JSON of GET /api/calls/{id} as last seen
);
CREATE INDEX "Call_sid" ON "Call" ("callSid");
CREATE INDEX "Call_client" ON "Call" ("orgId", "clientId", "startedAt");
CREATE INDEX "Call_started" ON "Call" ("orgId", "startedAt");

-- Unrecorded calls that were connected, without any content. Its id is the call's.
CREATE TABLE "InteractionMetadata" (
  "id"              TEXT COLLATE "C" PRIMARY KEY,
  "clientId"        TEXT COLLATE "C" NOT NULL,
  "caseManagerId"   TEXT COLLATE "C" NOT NULL,
  "orgId"           TEXT COLLATE "C" NOT NULL,
  "interactionType" "InteractionType" NOT NULL DEFAULT 'VOIP_CALL',
  "direction"       "CallDirection" NOT NULL DEFAULT 'OUTBOUND',
  "startedAt"       TIMESTAMPTZ(3) NOT NULL,
  "endedAt"         TIMESTAMPTZ(3),
  "durationSeconds" INTEGER,
  "reason"          "UnrecordedReason" NOT NULL,
  "createdAt"       TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);
CREATE INDEX "InteractionMetadata_client" ON "InteractionMetadata" ("clientId");
CREATE INDEX "InteractionMetadata_caseManager" ON "InteractionMetadata" ("caseManagerId");
CREATE INDEX "InteractionMetadata_started" ON "InteractionMetadata" ("orgId", "startedAt");

CREATE TABLE "Recording" (
  "id"          TEXT COLLATE "C" PRIMARY KEY,
  "callId"      TEXT COLLATE "C" NOT NULL,
  "orgId"       TEXT COLLATE "C" NOT NULL,
  "clientId"    TEXT COLLATE "C" NOT NULL,
  "state"       "RecordingState" NOT NULL,
  "grantSeq"    BIGINT NOT NULL,
  "objectKey"   TEXT,
  "format"      TEXT NOT NULL,
  "sha256"      TEXT,
  "bytes"       BIGINT,
  "durationMs"  BIGINT,
  "reason"      TEXT,
  "createdAt"   TIMESTAMPTZ(3) NOT NULL,
  "finishedAt"  TIMESTAMPTZ(3)
);
CREATE INDEX "Recording_call" ON "Recording" ("callId");
CREATE INDEX "Recording_client" ON "Recording" ("orgId", "clientId");

-- Append-only: no row is changed or deleted, and no table emptied. A superuser can take this off; the chain shows it.
CREATE FUNCTION "callgate_append_only"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER "ConsentRecord_append_only" BEFORE UPDATE OR DELETE ON "ConsentRecord"
  FOR EACH ROW EXECUTE FUNCTION "callgate_append_only"();
CREATE TRIGGER "ConsentRecord_no_truncate" BEFORE TRUNCATE ON "ConsentRecord"
  FOR EACH STATEMENT EXECUTE FUNCTION "callgate_append_only"();
CREATE TRIGGER "AuditEvent_append_only" BEFORE UPDATE OR DELETE ON "AuditEvent"
  FOR EACH ROW EXECUTE FUNCTION "callgate_append_only"();
CREATE TRIGGER "AuditEvent_no_truncate" BEFORE TRUNCATE ON "AuditEvent"
  FOR EACH STATEMENT EXECUTE FUNCTION "callgate_append_only"();
