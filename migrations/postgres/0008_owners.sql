-- Which gateway was the first to be told of a call that came in: whoever is told again asks it for its answer. Short-lived.
CREATE TABLE "Arrival" (
  "callSid" TEXT COLLATE "C" PRIMARY KEY,
  "callId"  TEXT COLLATE "C" NOT NULL,
  "nodeId"  TEXT COLLATE "C" NOT NULL,
  "at"      TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);
CREATE INDEX "Arrival_at" ON "Arrival" ("at");

-- In whose spool something of a recording may lie; null once nothing does. The id stands in that data folder's `spool.id`.
ALTER TABLE "Recording" ADD COLUMN "spoolId" TEXT COLLATE "C";

-- Its deletion is under way: a hold comes too late for it. A claim alone can still be given back.
ALTER TABLE "RetentionItem" ADD COLUMN "begunAt" TIMESTAMPTZ(3);
