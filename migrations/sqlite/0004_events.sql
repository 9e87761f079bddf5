-- What happened to a call, each with the call's state just after it, by the same commit as that state.

CREATE TABLE "CallEvent" (
  "callId"  TEXT NOT NULL,
  "version" INTEGER NOT NULL,                   -- counts this call's events from 1
  "orgId"   TEXT NOT NULL,
  "phase"   TEXT NOT NULL,
  "kinds"   TEXT NOT NULL,                      -- what is new, in words with a space between
  "state"   TEXT NOT NULL,                      -- the JSON of GET /api/calls/{id}
  "at"      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY ("callId", "version")
) WITHOUT ROWID;
CREATE INDEX "CallEvent_phase" ON "CallEvent" ("phase", "callId");

-- What is to be posted to CALLGATE_WEBHOOK_URL, and what became of it.
CREATE TABLE "WebhookPost" (
  "id"           TEXT PRIMARY KEY,              -- the webhook-id: the same at every try
  "callId"       TEXT NOT NULL,
  "version"      INTEGER NOT NULL,              -- the event whose state it carries
  "place"        INTEGER NOT NULL,              -- its place among the posts of its call
  "kind"         TEXT NOT NULL,
  "state"        TEXT NOT NULL DEFAULT 'PENDING' CHECK ("state" IN ('PENDING', 'DELIVERED', 'FAILED')),
  "tries"        INTEGER NOT NULL DEFAULT 0,
  "dueAt"        TEXT NOT NULL DEFAULT '1970-01-01T00:00:00.000Z',   -- not before
  "claimedBy"    TEXT,
  "claimedUntil" TEXT NOT NULL DEFAULT '1970-01-01T00:00:00.000Z',
  "why"          TEXT,                          -- how the last try failed
  "createdAt"    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  "settledAt"    TEXT,
  UNIQUE ("callId", "place")
);
CREATE INDEX "WebhookPost_due" ON "WebhookPost" ("state", "dueAt");

-- Signed heads of chains that the object store holds.
CREATE TABLE "Checkpoint" (
  "orgId" TEXT NOT NULL,
  "size"  INTEGER NOT NULL,
  "root"  TEXT NOT NULL,
  "key"   TEXT NOT NULL,                        -- where it lies in the object store
  "at"    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY ("orgId", "size")
);

CREATE INDEX "Call_startedAt" ON "Call" ("startedAt");
