ALTER TABLE runs ADD COLUMN process TEXT;
CREATE INDEX leases_owner ON leases (owner);
