-- The attempts of one call are looked up by the id that its client got, and a response by the id that its provider gave.

CREATE INDEX attempts_by_request ON attempts (request_id);

CREATE INDEX attempts_by_response ON attempts (provider_id) WHERE endpoint = 'responses';
