CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    tick_ms BIGINT NOT NULL,
    tick TEXT NOT NULL,
    trigger_name TEXT NOT NULL,
    state TEXT NOT NULL,
    window_start TEXT NOT NULL,
    window_end TEXT NOT NULL,
    timezone TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    alive_until_ms BIGINT NOT NULL,
    definition_hash TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    error TEXT
);
CREATE UNIQUE INDEX runs_tick ON runs (job, tick_ms) WHERE trigger_name IN ('schedule', 'catch_up');
CREATE INDEX runs_created ON runs (created_ms);
CREATE INDEX runs_job ON runs (job, created_ms);
CREATE TABLE attempts (
    run_id TEXT NOT NULL REFERENCES runs (id),
    number BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    error TEXT,
    PRIMARY KEY (run_id, number)
);
CREATE TABLE steps (
    run_id TEXT NOT NULL REFERENCES runs (id),
    place BIGINT NOT NULL,
    query TEXT NOT NULL,
    website_id TEXT,
    link_id TEXT,
    start_day TEXT NOT NULL,
    end_day TEXT NOT NULL,
    state TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    error TEXT,
    PRIMARY KEY (run_id, place)
);
CREATE TABLE artifacts (
    run_id TEXT NOT NULL REFERENCES runs (id),
    place BIGINT NOT NULL,
    query TEXT NOT NULL,
    website_id TEXT,
    link_id TEXT,
    path TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    written BIGINT NOT NULL,
    PRIMARY KEY (run_id, place)
);
CREATE TABLE run_deliveries (
    run_id TEXT NOT NULL REFERENCES runs (id),
    place BIGINT NOT NULL,
    report TEXT NOT NULL,
    website_id TEXT,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (run_id, place)
);
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE TABLE deliveries (
    job TEXT NOT NULL,
    report TEXT NOT NULL,
    website_id TEXT NOT NULL,
    window_start TEXT NOT NULL,
    window_end TEXT NOT NULL,
    timezone TEXT NOT NULL,
    recipient TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    run_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    message_id TEXT NOT NULL,
    error TEXT,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (job, report, website_id, window_start, window_end, timezone, recipient, number)
);
