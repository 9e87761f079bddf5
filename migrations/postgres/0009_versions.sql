-- Who had more of a transcript masked than the version before, and why. Of a first version nobody.
ALTER TABLE "Transcript" ADD COLUMN "redactedBy" TEXT COLLATE "C";
ALTER TABLE "Transcript" ADD COLUMN "redactedFor" TEXT COLLATE "C";
