-- Who had more of a transcript masked than the version before, and why. Of a first version nobody.
ALTER TABLE "Transcript" ADD COLUMN "redactedBy" TEXT;
ALTER TABLE "Transcript" ADD COLUMN "redactedFor" TEXT;
