-- Which gateway a call is on. SQLite serves one, so here nobody asks.
ALTER TABLE "Call" ADD COLUMN "nodeId" TEXT;
