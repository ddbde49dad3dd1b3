-- Experiments: the arm that a call belongs to, and the call that it is a copy of.

ALTER TABLE attempts ADD COLUMN arm TEXT NOT NULL DEFAULT ''; -- experiment/arm

ALTER TABLE attempts ADD COLUMN parent TEXT NOT NULL DEFAULT ''; -- a request_id

CREATE INDEX attempts_by_arm ON attempts (arm, started_at) WHERE arm <> '';
