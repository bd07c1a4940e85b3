ALTER TABLE run_deliveries ADD COLUMN error TEXT;
ALTER TABLE run_deliveries ADD COLUMN mail TEXT;
CREATE INDEX run_deliveries_mail ON run_deliveries (mail) WHERE mail IS NOT NULL;
CREATE INDEX deliveries_run ON deliveries (run_id);
CREATE TABLE suppressions (
    address TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    added_ms BIGINT NOT NULL
);
