CREATE TABLE backfill_units (
    backfill TEXT NOT NULL,
    unit TEXT NOT NULL,
    PRIMARY KEY (backfill, unit)
);
