-- The ledger: attempts, what they sum up to, how far each journal has been imported, and what was said.
-- Text that is sorted or looked up is in the order of its bytes, as in SQLite, and faster that way.

CREATE TABLE attempts (
    attempt TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL, -- seconds since the epoch
    request_id TEXT NOT NULL,
    key TEXT NOT NULL,
    route TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    stream BOOLEAN NOT NULL,
    labels TEXT NOT NULL, -- a JSON array of "name=value"
    outcome TEXT NOT NULL,
    status BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    usage TEXT NOT NULL, -- a JSON object of what else is not zero, or nothing
    usage_is_estimate BOOLEAN NOT NULL,
    cost_nanousd BIGINT CHECK (cost_nanousd >= 0), -- NULL: there is no price
    cost_source TEXT NOT NULL,
    estimate_nanousd BIGINT CHECK (estimate_nanousd >= 0),
    saved_nanousd BIGINT NOT NULL CHECK (saved_nanousd >= 0),
    price_source TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    first_token_ms BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    provider_id TEXT NOT NULL,
    hung_up BOOLEAN NOT NULL,
    call_status BIGINT NOT NULL
);

CREATE INDEX attempts_by_start ON attempts (started_at);

CREATE INDEX attempts_open ON attempts (substr(attempt, 1, 12)) WHERE state = 'open';

-- Written in the transaction that writes the attempts, and by nothing else. Rows stay when their attempts are purged.
CREATE TABLE sums (
    hour BIGINT NOT NULL, -- since the epoch
    key TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    fallbacks BIGINT NOT NULL,
    hung_up BIGINT NOT NULL,
    in_doubt BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    saved_nanousd BIGINT NOT NULL,
    PRIMARY KEY (hour, key, route, endpoint, provider, model)
);

CREATE TABLE positions (
    writer TEXT NOT NULL PRIMARY KEY,
    segment BIGINT NOT NULL,
    byte_offset BIGINT NOT NULL
);

CREATE TABLE contents (
    attempt TEXT NOT NULL PRIMARY KEY,
    request BYTEA NOT NULL,
    response BYTEA NOT NULL
);
