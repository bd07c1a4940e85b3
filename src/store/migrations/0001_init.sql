CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    tick_ms BIGINT NOT NULL,
    trigger_name TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    alive_until_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    definition_hash TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_tick ON runs (job, tick_ms) WHERE trigger_name IN ('schedule', 'catch_up');
CREATE INDEX runs_created ON runs (created_ms);
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
