-- In whose spool something of a recording may lie. SQLite serves one gateway, so here nobody asks.
ALTER TABLE "Recording" ADD COLUMN "spoolId" TEXT;

-- Its deletion is under way: a hold comes too late for it. A claim alone can still be given back.
ALTER TABLE "RetentionItem" ADD COLUMN "begunAt" TEXT;
