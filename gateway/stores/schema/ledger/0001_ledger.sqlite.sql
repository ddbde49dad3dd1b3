-- The ledger: attempts, what they sum up to, how far each journal has been imported, and what was said.

CREATE TABLE attempts (
    attempt TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at REAL NOT NULL, -- seconds since the epoch
    request_id TEXT NOT NULL,
    key TEXT NOT NULL,
    route TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    stream INTEGER NOT NULL,
    labels TEXT NOT NULL, -- a JSON array of "name=value"
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    usage TEXT NOT NULL, -- a JSON object of what else is not zero, or nothing
    usage_is_estimate INTEGER NOT NULL,
    cost_nanousd INTEGER CHECK (cost_nanousd >= 0), -- NULL: there is no price
    cost_source TEXT NOT NULL,
    estimate_nanousd INTEGER CHECK (estimate_nanousd >= 0),
    saved_nanousd INTEGER NOT NULL CHECK (saved_nanousd >= 0),
    price_source TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    first_token_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    provider_id TEXT NOT NULL,
    hung_up INTEGER NOT NULL,
    call_status INTEGER NOT NULL
);

CREATE INDEX attempts_by_start ON attempts (started_at);

CREATE INDEX attempts_open ON attempts (substr(attempt, 1, 12)) WHERE state = 'open';

-- Written in the transaction that writes the attempts, and by nothing else. Rows stay when their attempts are purged.
CREATE TABLE sums (
    hour INTEGER NOT NULL, -- since the epoch
    key TEXT NOT NULL,
    route TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    fallbacks INTEGER NOT NULL,
    hung_up INTEGER NOT NULL,
    in_doubt INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    saved_nanousd INTEGER NOT NULL,
    PRIMARY KEY (hour, key, route, endpoint, provider, model)
) WITHOUT ROWID;

CREATE TABLE positions (
    writer TEXT NOT NULL PRIMARY KEY,
    segment INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE contents (
    attempt TEXT NOT NULL PRIMARY KEY,
    request BLOB NOT NULL,
    response BLOB NOT NULL
);
