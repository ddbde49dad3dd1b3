-- The sums by day, for reports over weeks. The database itself keeps them in step with those by hour, so that a gateway
-- of an earlier version that still runs beside this one cannot leave them behind.

LOCK TABLE sums IN SHARE ROW EXCLUSIVE MODE; -- until the triggers are there

CREATE TABLE day_sums (
    day BIGINT NOT NULL, -- since the epoch, in UTC
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
    PRIMARY KEY (day, key, route, endpoint, provider, model)
);

INSERT INTO day_sums (
    day, key, route, endpoint, provider, model, attempts, calls, errors, fallbacks, hung_up, in_doubt, unpriced,
    estimated, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nanousd, saved_nanousd
)
SELECT
    hour / 24, key, route, endpoint, provider, model, least(sum(attempts), 4611686018427387904),
    least(sum(calls), 4611686018427387904), least(sum(errors), 4611686018427387904),
    least(sum(fallbacks), 4611686018427387904), least(sum(hung_up), 4611686018427387904),
    least(sum(in_doubt), 4611686018427387904), least(sum(unpriced), 4611686018427387904),
    least(sum(estimated), 4611686018427387904), least(sum(input_tokens), 4611686018427387904),
    least(sum(output_tokens), 4611686018427387904), least(sum(cached_tokens), 4611686018427387904),
    least(sum(reasoning_tokens), 4611686018427387904), least(sum(cost_nanousd), 4611686018427387904),
    least(sum(saved_nanousd), 4611686018427387904)
FROM sums
GROUP BY 1, 2, 3, 4, 5, 6;

CREATE FUNCTION sums_added() RETURNS trigger LANGUAGE plpgsql AS '
BEGIN
    INSERT INTO day_sums (
        day, key, route, endpoint, provider, model, attempts, calls, errors, fallbacks, hung_up, in_doubt, unpriced,
        estimated, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_nanousd, saved_nanousd
    ) VALUES (
        NEW.hour / 24, NEW.key, NEW.route, NEW.endpoint, NEW.provider, NEW.model, NEW.attempts, NEW.calls,
        NEW.errors, NEW.fallbacks, NEW.hung_up, NEW.in_doubt, NEW.unpriced, NEW.estimated, NEW.input_tokens,
        NEW.output_tokens, NEW.cached_tokens, NEW.reasoning_tokens, NEW.cost_nanousd, NEW.saved_nanousd
    )
    ON CONFLICT (day, key, route, endpoint, provider, model) DO UPDATE SET
        attempts = least(day_sums.attempts + excluded.attempts, 4611686018427387904),
        calls = least(day_sums.calls + excluded.calls, 4611686018427387904),
        errors = least(day_sums.errors + excluded.errors, 4611686018427387904),
        fallbacks = least(day_sums.fallbacks + excluded.fallbacks, 4611686018427387904),
        hung_up = least(day_sums.hung_up + excluded.hung_up, 4611686018427387904),
        in_doubt = least(day_sums.in_doubt + excluded.in_doubt, 4611686018427387904),
        unpriced = least(day_sums.unpriced + excluded.unpriced, 4611686018427387904),
        estimated = least(day_sums.estimated + excluded.estimated, 4611686018427387904),
        input_tokens = least(day_sums.input_tokens + excluded.input_tokens, 4611686018427387904),
        output_tokens = least(day_sums.output_tokens + excluded.output_tokens, 4611686018427387904),
        cached_tokens = least(day_sums.cached_tokens + excluded.cached_tokens, 4611686018427387904),
        reasoning_tokens = least(day_sums.reasoning_tokens + excluded.reasoning_tokens, 4611686018427387904),
        cost_nanousd = least(day_sums.cost_nanousd + excluded.cost_nanousd, 4611686018427387904),
        saved_nanousd = least(day_sums.saved_nanousd + excluded.saved_nanousd, 4611686018427387904);
    RETURN NULL;
END
';

CREATE FUNCTION sums_changed() RETURNS trigger LANGUAGE plpgsql AS '
BEGIN
    UPDATE day_sums SET
        attempts = greatest(0, least(attempts + (NEW.attempts - OLD.attempts), 4611686018427387904)),
        calls = greatest(0, least(calls + (NEW.calls - OLD.calls), 4611686018427387904)),
        errors = greatest(0, least(errors + (NEW.errors - OLD.errors), 4611686018427387904)),
        fallbacks = greatest(0, least(fallbacks + (NEW.fallbacks - OLD.fallbacks), 4611686018427387904)),
        hung_up = greatest(0, least(hung_up + (NEW.hung_up - OLD.hung_up), 4611686018427387904)),
        in_doubt = greatest(0, least(in_doubt + (NEW.in_doubt - OLD.in_doubt), 4611686018427387904)),
        unpriced = greatest(0, least(unpriced + (NEW.unpriced - OLD.unpriced), 4611686018427387904)),
        estimated = greatest(0, least(estimated + (NEW.estimated - OLD.estimated), 4611686018427387904)),
        input_tokens = greatest(0, least(input_tokens + (NEW.input_tokens - OLD.input_tokens), 4611686018427387904)),
        output_tokens =
            greatest(0, least(output_tokens + (NEW.output_tokens - OLD.output_tokens), 4611686018427387904)),
        cached_tokens =
            greatest(0, least(cached_tokens + (NEW.cached_tokens - OLD.cached_tokens), 4611686018427387904)),
        reasoning_tokens =
            greatest(0, least(reasoning_tokens + (NEW.reasoning_tokens - OLD.reasoning_tokens), 4611686018427387904)),
        cost_nanousd = greatest(0, least(cost_nanousd + (NEW.cost_nanousd - OLD.cost_nanousd), 4611686018427387904)),
        saved_nanousd =
            greatest(0, least(saved_nanousd + (NEW.saved_nanousd - OLD.saved_nanousd), 4611686018427387904))
    WHERE day = NEW.hour / 24 AND key = NEW.key AND route = NEW.route AND endpoint = NEW.endpoint
        AND provider = NEW.provider AND model = NEW.model;
    RETURN NULL;
END
';

-- "OR REPLACE", because a plain CREATE TRIGGER would be read as one of SQLite's.
CREATE OR REPLACE TRIGGER sums_added AFTER INSERT ON sums FOR EACH ROW EXECUTE FUNCTION sums_added();

CREATE OR REPLACE TRIGGER sums_changed AFTER UPDATE ON sums FOR EACH ROW EXECUTE FUNCTION sums_changed();
