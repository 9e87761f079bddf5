-- What happened to a call, each with the call's state just after it, by the same commit as that state.

CREATE TYPE "WebhookPostState" AS ENUM ('PENDING', 'DELIVERED', 'FAILED');

CREATE TABLE "CallEvent" (
  "callId"  TEXT COLLATE "C" NOT NULL,
  "version" BIGINT NOT NULL,                    -- counts this call's events from 1
  "orgId"   TEXT COLLATE "C" NOT NULL,
  "phase"   "CallPhase" NOT NULL,
  "kinds"   TEXT NOT NULL,                      -- what is new, in words with a space between
  "state"   JSONB NOT NULL,                     -- the JSON of GET /api/calls/{id}
  "at"      TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("callId", "version")
);
CREATE INDEX "CallEvent_phase" ON "CallEvent" ("phase", "callId");

-- What is to be posted to CALLGATE_WEBHOOK_URL, and what became of it.
CREATE TABLE "WebhookPost" (
  "id"           TEXT COLLATE "C" PRIMARY KEY,  -- the webhook-id: the same at every try
  "callId"       TEXT COLLATE "C" NOT NULL,
  "version"      BIGINT NOT NULL,               -- the event whose state it carries
  "place"        BIGINT NOT NULL,               -- its place among the posts of its call
  "kind"         TEXT NOT NULL,
  "state"        "WebhookPostState" NOT NULL DEFAULT 'PENDING',
  "tries"        BIGINT NOT NULL DEFAULT 0,
  "dueAt"        TIMESTAMPTZ(3) NOT NULL DEFAULT '1970-01-01T00:00:00.000Z',   -- not before
  "claimedBy"    TEXT,
  "claimedUntil" TIMESTAMPTZ(3) NOT NULL DEFAULT '1970-01-01T00:00:00.000Z',
  "why"          TEXT,                          -- how the last try failed
  "createdAt"    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "settledAt"    TIMESTAMPTZ(3),
  UNIQUE ("callId", "place")
);
CREATE INDEX "WebhookPost_due" ON "WebhookPost" ("state", "dueAt");

-- Signed heads of chains that the object store holds.
CREATE TABLE "Checkpoint" (
  "orgId" TEXT COLLATE "C" NOT NULL,
  "size"  BIGINT NOT NULL,
  "root"  TEXT NOT NULL,
  "key"   TEXT NOT NULL,                        -- where it lies in the object store
  "at"    TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("orgId", "size")
);

CREATE INDEX "Call_startedAt" ON "Call" ("startedAt");
