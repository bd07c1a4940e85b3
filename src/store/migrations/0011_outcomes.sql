CREATE TABLE outcomes (
    job TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    told_ms BIGINT NOT NULL
);
