-- A yes that turns out to be none (a machine's silence) is superseded by a record that says so: its client stands as if never asked.
-- A CHECK can only be changed by a table anew; what stands in it is taken over word for word.
CREATE TABLE "ConsentRecord_anew" (
  "id"            TEXT PRIMARY KEY,
  "orgId"         TEXT NOT NULL,
  "clientId"      TEXT NOT NULL,
  "callId"        TEXT,
  "version"       INTEGER NOT NULL,             -- counts this client's records from 1
  "status"        TEXT NOT NULL CHECK ("status" IN ('GRANTED', 'REVOKED', 'PENDING')),
  "method"        TEXT NOT NULL,
  "languageCode"  TEXT NOT NULL DEFAULT 'en',
  "promptVersion" TEXT NOT NULL DEFAULT 'v1',
  "at"            TEXT NOT NULL,
  "auditSeq"      INTEGER NOT NULL,             -- the chain entry that carries it
  "record"        TEXT NOT NULL,                -- the whole of it, canonical JSON
  "salt"          TEXT NOT NULL,                -- the entry holds a commitment to salt and record, no names
  UNIQUE ("orgId", "clientId", "version"),
  UNIQUE ("orgId", "auditSeq")
) WITHOUT ROWID;
INSERT INTO "ConsentRecord_anew" ("id", "orgId", "clientId", "callId", "version", "status", "method", "languageCode", "promptVersion", "at", "auditSeq", "record", "salt")
  SELECT "id", "orgId", "clientId", "callId", "version", "status", "method", "languageCode", "promptVersion", "at", "auditSeq", "record", "salt" FROM "ConsentRecord";
DROP TABLE "ConsentRecord";
ALTER TABLE "ConsentRecord_anew" RENAME TO "ConsentRecord";
CREATE TRIGGER "ConsentRecord_no_update" BEFORE UPDATE ON "ConsentRecord"
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
CREATE TRIGGER "ConsentRecord_no_delete" BEFORE DELETE ON "ConsentRecord"
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
CREATE TRIGGER "ConsentRecord_no_replace" BEFORE INSERT ON "ConsentRecord"
WHEN EXISTS (SELECT 1 FROM "ConsentRecord" WHERE "id" = NEW."id"
             OR ("orgId" = NEW."orgId" AND "clientId" = NEW."clientId" AND "version" = NEW."version")
             OR ("orgId" = NEW."orgId" AND "auditSeq" = NEW."auditSeq"))
BEGIN SELECT RAISE(ABORT, 'ConsentRecord is append-only'); END;
