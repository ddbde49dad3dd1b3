-- Verdicts of clients on their calls.

ALTER TABLE attempts ADD COLUMN score DOUBLE PRECISION; -- 0 to 1; NULL: none

ALTER TABLE attempts ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
