-- Verdicts of clients on their calls, and the way from a request id to its call.

ALTER TABLE attempts ADD COLUMN score REAL; -- 0 to 1; NULL: none

ALTER TABLE attempts ADD COLUMN verdict TEXT NOT NULL DEFAULT '';

CREATE INDEX attempts_by_request ON attempts (request_id);
