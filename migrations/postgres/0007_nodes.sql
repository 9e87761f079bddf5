-- Gateways that share this database. Who has not renewed its lease holds no gate open, and its calls are somebody else's to close.
CREATE TABLE "Node" (
  "id"         TEXT COLLATE "C" PRIMARY KEY,      -- of one process
  "host"       TEXT NOT NULL,
  "dataDir"    TEXT NOT NULL,                     -- where its spool lies on that host
  "startedAt"  TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "leaseUntil" TIMESTAMPTZ(3) NOT NULL,
  "takenBy"    TEXT COLLATE "C"                   -- who closes its calls
);

-- What one gateway asks of another; both are woken by NOTIFY, and look here. Short-lived.
CREATE TABLE "Command" (
  "id"      TEXT COLLATE "C" PRIMARY KEY,
  "nodeId"  TEXT COLLATE "C" NOT NULL,            -- who is asked
  "fromId"  TEXT COLLATE "C" NOT NULL,            -- who asks
  "body"    JSONB NOT NULL,
  "taken"   BOOLEAN NOT NULL DEFAULT false,
  "answer"  JSONB,
  "at"      TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);
CREATE INDEX "Command_waiting" ON "Command" ("nodeId", "taken");

-- Which gateway a call is on.
ALTER TABLE "Call" ADD COLUMN "nodeId" TEXT COLLATE "C";
CREATE INDEX "Call_node" ON "Call" ("nodeId", "endedAt");
