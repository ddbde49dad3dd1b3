-- The sums by day, for reports over weeks. The database itself keeps them in step with those by hour, so that a gateway
-- of an earlier version that still runs beside this one cannot leave them behind.

CREATE TABLE day_sums (
    day INTEGER NOT NULL, -- since the epoch, in UTC
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
    PRIMARY KEY (day, key, route, endpoint, provider, model)
) WITHOUT ROWID;

-- Row by row, because sum() raises if the result exceeds 64 bits.
INSERT INTO day_sums (
    day, key, route, endpoint, provider, model, attempts, calls, errors, fallbacks, hung_up, in_doubt, unpriced,
    estimated, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nanousd, saved_nanousd
)
SELECT
    hour / 24, key, route, endpoint, provider, model, attempts, calls, errors, fallbacks, hung_up, in_doubt,
    unpriced, estimated, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nanousd, saved_nanousd
FROM sums WHERE TRUE
ON CONFLICT (day, key, route, endpoint, provider, model) DO UPDATE SET
    attempts = min(attempts + excluded.attempts, 4611686018427387904),
    calls = min(calls + excluded.calls, 4611686018427387904),
    errors = min(errors + excluded.errors, 4611686018427387904),
    fallbacks = min(fallbacks + excluded.fallbacks, 4611686018427387904),
    hung_up = min(hung_up + excluded.hung_up, 4611686018427387904),
    in_doubt = min(in_doubt + excluded.in_doubt, 4611686018427387904),
    unpriced = min(unpriced + excluded.unpriced, 4611686018427387904),
    estimated = min(estimated + excluded.estimated, 4611686018427387904),
    input_tokens = min(input_tokens + excluded.input_tokens, 4611686018427387904),
    output_tokens = min(output_tokens + excluded.output_tokens, 4611686018427387904),
    cached_tokens = min(cached_tokens + excluded.cached_tokens, 4611686018427387904),
    reasoning_tokens = min(reasoning_tokens + excluded.reasoning_tokens, 4611686018427387904),
    cost_nanousd = min(cost_nanousd + excluded.cost_nanousd, 4611686018427387904),
    saved_nanousd = min(saved_nanousd + excluded.saved_nanousd, 4611686018427387904);

CREATE TRIGGER sums_added AFTER INSERT ON sums BEGIN
    INSERT INTO day_sums (
        day, key, route, endpoint, provider, model, attempts, calls, errors, fallbacks, hung_up, in_doubt, unpriced,
        estimated, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nanousd, saved_nanousd
    ) VALUES (
        NEW.hour / 24, NEW.key, NEW.route, NEW.endpoint, NEW.provider, NEW.model, NEW.attempts, NEW.calls,
        NEW.errors, NEW.fallbacks, NEW.hung_up, NEW.in_doubt, NEW.unpriced, NEW.estimated, NEW.input_tokens,
        NEW.output_tokens, NEW.cached_tokens, NEW.reasoning_tokens, NEW.cost_nanousd, NEW.saved_nanousd
    )
    ON CONFLICT (day, key, route, endpoint, provider, model) DO UPDATE SET
        attempts = min(attempts + excluded.attempts, 4611686018427387904),
        calls = min(calls + excluded.calls, 4611686018427387904),
        errors = min(errors + excluded.errors, 4611686018427387904),
        fallbacks = min(fallbacks + excluded.fallbacks, 4611686018427387904),
        hung_up = min(hung_up + excluded.hung_up, 4611686018427387904),
        in_doubt = min(in_doubt + excluded.in_doubt, 4611686018427387904),
        unpriced = min(unpriced + excluded.unpriced, 4611686018427387904),
        estimated = min(estimated + excluded.estimated, 4611686018427387904),
        input_tokens = min(input_tokens + excluded.input_tokens, 4611686018427387904),
        output_tokens = min(output_tokens + excluded.output_tokens, 4611686018427387904),
        cached_tokens = min(cached_tokens + excluded.cached_tokens, 4611686018427387904),
        reasoning_tokens = min(reasoning_tokens + excluded.reasoning_tokens, 4611686018427387904),
        cost_nanousd = min(cost_nanousd + excluded.cost_nanousd, 4611686018427387904),
        saved_nanousd = min(saved_nanousd + excluded.saved_nanousd, 4611686018427387904);
END;

CREATE TRIGGER sums_changed AFTER UPDATE ON sums BEGIN
    UPDATE day_sums SET
        attempts = max(0, min(attempts + (NEW.attempts - OLD.attempts), 4611686018427387904)),
        calls = max(0, min(calls + (NEW.calls - OLD.calls), 4611686018427387904)),
        errors = max(0, min(errors + (NEW.errors - OLD.errors), 4611686018427387904)),
        fallbacks = max(0, min(fallbacks + (NEW.fallbacks - OLD.fallbacks), 4611686018427387904)),
        hung_up = max(0, min(hung_up + (NEW.hung_up - OLD.hung_up), 4611686018427387904)),
        in_doubt = max(0, min(in_doubt + (NEW.in_doubt - OLD.in_doubt), 4611686018427387904)),
        unpriced = max(0, min(unpriced + (NEW.unpriced - OLD.unpriced), 4611686018427387904)),
        estimated = max(0, min(estimated + (NEW.estimated - OLD.estimated), 4611686018427387904)),
        input_tokens = max(0, min(input_tokens + (NEW.input_tokens - OLD.input_tokens), 4611686018427387904)),
        output_tokens = max(0, min(output_tokens + (NEW.output_tokens - OLD.output_tokens), 4611686018427387904)),
        cached_tokens = max(0, min(cached_tokens + (NEW.cached_tokens - OLD.cached_tokens), 4611686018427387904)),
        reasoning_tokens =
            max(0, min(reasoning_tokens + (NEW.reasoning_tokens - OLD.reasoning_tokens), 4611686018427387904)),
        cost_nanousd = max(0, min(cost_nanousd + (NEW.cost_nanousd - OLD.cost_nanousd), 4611686018427387904)),
        saved_nanousd = max(0, min(saved_nanousd + (NEW.saved_nanousd - OLD.saved_nanousd), 4611686018427387904))
    WHERE day = NEW.hour / 24 AND key = NEW.key AND route = NEW.route AND endpoint = NEW.endpoint
        AND provider = NEW.provider AND model = NEW.model;
END;
