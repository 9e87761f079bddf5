-- PX-735's names, in its own spelling, so that the main app reads what it expects.

CREATE TABLE "ConsentRecord" (
  "id"            TEXT PRIMARY KEY,
  "orgId"         TEXT NOT NULL,
  "clientId"      TEXT NOT NULL,
  "callId"        TEXT,
  "version"       INTEGER NOT NULL,             -- counts this client's records from 1
  "status"        TEXT NOT NULL CHECK ("status" IN ('GRANTED', 'REVOKED')),
  "method"        TEXT NOT NULL,
  "languageCode"  TEXT NOT NULL DEFAULT 'en',
  "promptVersion" TEXT NOT NULL DEFAULT 'v1',
  "at"            TEXT NOT NULL,
  "auditSeq"      INTEGER NOT NULL,             -- the chain entry that carries it
  "record"        TEXT NOT NULL,                -- the whole of it, canonical JSON
  "salt"          TEXT NOT NULL,                -- the entry holds a commitment to salt and record, no names
  UNIQUE ("orgId", "clientId", "version"),
  UNIQUE ("orgId", "auditSeq")
) WITHOUT ROWID;                                -- a rowid would be one more key that REPLACE could aim at

CREATE TABLE "AuditEvent" (
  "orgId"    TEXT NOT NULL,
  "seq"      INTEGER NOT NULL,
  "hash"     TEXT NOT NULL,
  "entry"    TEXT NOT NULL,                     -- canonical JSON (RFC 8785): these bytes are hashed
  "kind"     TEXT NOT NULL,
  "clientId" TEXT,
  "callId"   TEXT,
  "at"       TEXT NOT NULL,
  PRIMARY KEY ("orgId", "seq")
) WITHOUT ROWID;                                -- stored in the order of the chains
CREATE INDEX "AuditEvent_client" ON "AuditEvent" ("orgId", "clientId", "seq");
CREATE INDEX "AuditEvent_call" ON "AuditEvent" ("callId", "seq");

CREATE TABLE "Call" (
  "id"               TEXT PRIMARY KEY,
  "callSid"          TEXT NOT NULL,
  "clientId"         TEXT NOT NULL,
  "caseManagerId"    TEXT NOT NULL,
  "orgId"            TEXT NOT NULL,
  "direction"        TEXT NOT NULL,
  "phase"            TEXT NOT NULL,
  "consentGrantedAt" TEXT,
  "consentMethod"    TEXT,
  "languageCode"     TEXT,
  "promptVersion"    TEXT,
  "isRecorded"       INTEGER NOT NULL,
  "unrecordedReason" TEXT,
  "recordingId"      TEXT,
  "startedAt"        TEXT NOT NULL,
  "connectedAt"      TEXT,
  "endedAt"          TEXT,
  "durationSeconds"  INTEGER,
  "state"            TEXT NOT NULL              -- the JSON of GET /api/calls/{id} as last seen
);
CREATE INDEX "Call_sid" ON "Call" ("callSid");
CREATE INDEX "Call_client" ON "Call" ("orgId", "clientId", "startedAt");
CREATE INDEX "Call_started" ON "Call" ("orgId", "startedAt");

-- Unrecorded calls that were connected, without any content. Its id is the call's.
CREATE TABLE "InteractionMetadata" (
  "id"              TEXT PRIMARY KEY,
  "clientId"        TEXT NOT NULL,
  "caseManagerId"   TEXT NOT NULL,
  "orgId"           TEXT NOT NULL,
  "interactionType" TEXT NOT NULL DEFAULT 'VOIP_CALL',
  "direction"       TEXT NOT NULL DEFAULT 'OUTBOUND',
  "startedAt"       TEXT NOT NULL,
  "endedAt"         TEXT,
  "durationSeconds" INTEGER,
  "reason"          TEXT NOT NULL CHECK ("reason" IN ('CLIENT_OPT_OUT', 'PRIOR_OPT_OUT', 'SYSTEM_ERROR', 'MANUAL_OVERRIDE')),
  "createdAt"       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX "InteractionMetadata_client" ON "InteractionMetadata" ("clientId");
CREATE INDEX "InteractionMetadata_caseManager" ON "InteractionMetadata" ("caseManagerId");
CREATE INDEX "InteractionMetadata_started" ON "InteractionMetadata" ("orgId", "startedAt");

CREATE TABLE "Recording" (
  "id"          TEXT PRIMARY KEY,
  "callId"      TEXT NOT NULL,
  "orgId"       TEXT NOT NULL,
  "clientId"    TEXT NOT NULL,
  "state"       TEXT NOT NULL,
  "grantSeq"    INTEGER NOT NULL,
  "objectKey"   TEXT,
  "format"      TEXT NOT NULL,
  "sha256"      TEXT,
  "bytes"       INTEGER,
  "durationMs"  INTEGER,
  "reason"      TEXT,
  "createdAt"   TEXT NOT NULL,
  "finishedAt"  TEXT
);
CREATE INDEX "Recording_call" ON "Recording" ("callId");
CREATE INDEX "Recording_client" ON "Recording" ("orgId", "clientId");

-- Append-only. REPLACE deletes without firing delete triggers, so an INSERT that would replace is refused as well.
CREATE TRIGGER "ConsentRecord_no_update" BEFORE UPDATE ON "ConsentRecord"
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
CREATE TRIGGER "ConsentRecord_no_delete" BEFORE DELETE ON "ConsentRecord"
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
CREATE TRIGGER "ConsentRecord_no_replace" BEFORE INSERT ON "ConsentRecord"
WHEN EXISTS (SELECT 1 FROM "ConsentRecord" WHERE "id" = NEW."id"
             OR ("orgId" = NEW."orgId" AND "clientId" = NEW."clientId" AND "version" = NEW."version")
             OR ("orgId" = NEW."orgId" AND "auditSeq" = NEW."auditSeq"))
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
CREATE TRIGGER "AuditEvent_no_update" BEFORE UPDATE ON "AuditEvent"
BEGIN SELECT RAISE(ABORT, 'AuditEvent is append-only'); END;
CREATE TRIGGER "AuditEvent_no_delete" BEFORE DELETE ON "AuditEvent"
BEGIN SELECT RAISE(ABORT, 'AuditEvent is append-only'); END;
CREATE TRIGGER "AuditEvent_no_replace" BEFORE INSERT ON "AuditEvent"
WHEN EXISTS (SELECT 1 FROM "AuditEvent" WHERE "orgId" = NEW."orgId" AND "seq" = NEW."seq")
BEGIN SELECT RAISE(ABORT, 'AuditEvent is append-only'); END;
