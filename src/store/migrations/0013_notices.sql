CREATE TABLE notices (
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    job TEXT NOT NULL,
    failures BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    added_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    sending_until_ms BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (run_id, kind)
);
CREATE INDEX notices_job ON notices (job);
