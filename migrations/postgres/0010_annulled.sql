-- A yes that turns out to be none (a machine's silence) is superseded by a record that says so: its client stands as if never asked.
ALTER TYPE "ConsentStatus" ADD VALUE IF NOT EXISTS 'PENDING';
