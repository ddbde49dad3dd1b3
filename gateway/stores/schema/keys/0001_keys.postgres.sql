-- Virtual keys, the secrets they had before, and a number that grows with every change.

CREATE TABLE virtual_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL, -- empty if it has none
    digest BYTEA NOT NULL UNIQUE, -- SHA-256 of the secret, which is kept nowhere
    hint TEXT NOT NULL,
    routes TEXT NOT NULL, -- a JSON array of patterns
    budget_nanousd BIGINT CHECK (budget_nanousd IS NULL OR budget_nanousd >= 0),
    budget_window TEXT NOT NULL,
    requests_per_min BIGINT CHECK (requests_per_min IS NULL OR requests_per_min > 0),
    tokens_per_min BIGINT CHECK (tokens_per_min IS NULL OR tokens_per_min > 0),
    max_streams BIGINT CHECK (max_streams IS NULL OR max_streams > 0),
    expires_at DOUBLE PRECISION, -- seconds since the epoch, like all times here
    revoked_at DOUBLE PRECISION,
    created_at DOUBLE PRECISION NOT NULL,
    labels TEXT NOT NULL, -- a JSON array of pairs
    may_admin BOOLEAN NOT NULL
);

CREATE UNIQUE INDEX virtual_keys_by_name ON virtual_keys (name) WHERE revoked_at IS NULL AND name <> '';

CREATE TABLE replaced_secrets (
    digest BYTEA NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES virtual_keys (id),
    good_until DOUBLE PRECISION NOT NULL
);

-- One row. Whoever changes a key changes it first, so that two of them take turns.
CREATE TABLE keys_version (
    version BIGINT NOT NULL
);

INSERT INTO keys_version (version) VALUES (0);
