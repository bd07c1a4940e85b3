CREATE INDEX runs_queue ON runs (priority, tick_ms, id) WHERE state = 'queued';
