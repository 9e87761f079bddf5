-- Calls that this gateway made, beside their rows in "Call": what Twilio's webhooks ask for, also after a restart.
CREATE TABLE "PlacedCall" (
  "callId"    TEXT COLLATE "C" PRIMARY KEY,
  "connectTo" TEXT,                             -- whom the client is connected to; none: as an inbound call is
  "formIds"   TEXT NOT NULL,                    -- a JSON list, as it was given
  "createdAt" TIMESTAMPTZ(3) NOT NULL
);

-- What a request with an Idempotency-Key was answered. Written before Twilio is asked: "status" stays NULL until it has answered.
CREATE TABLE "IdempotencyKey" (
  "orgId"      TEXT COLLATE "C" NOT NULL,
  "userId"     TEXT COLLATE "C" NOT NULL,
  "key"        TEXT COLLATE "C" NOT NULL,
  "salt"       TEXT NOT NULL,
  "commitment" TEXT NOT NULL,                   -- to the request's canonical bytes: it holds a telephone number
  "callId"     TEXT,                            -- none: no call was placed
  "status"     BIGINT,
  "answer"     TEXT NOT NULL,                   -- while there is no status: what a success is answered
  "createdAt"  TIMESTAMPTZ(3) NOT NULL,
  PRIMARY KEY ("orgId", "userId", "key")
);
