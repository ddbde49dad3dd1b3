-- The attempts of one call are looked up by the id that its client got.

CREATE INDEX attempts_by_request ON attempts (request_id);
