-- The agent's desired state. Records are JSON; what people look for is shown as generated columns:
--   sqlite3 agent.db 'SELECT endpoint, id, phase, pid, reason FROM replicas'

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE endpoints (
    name     TEXT PRIMARY KEY,
    record   TEXT NOT NULL CHECK (json_valid(record)),
    port     INTEGER AS (record ->> '$.port') VIRTUAL,
    fence    INTEGER AS (record ->> '$.fence') VIRTUAL,
    deleting INTEGER AS (record ->> '$.deleting') VIRTUAL
) STRICT;

CREATE TABLE versions (
    endpoint     TEXT NOT NULL REFERENCES endpoints (name),
    number       INTEGER NOT NULL,
    record       TEXT NOT NULL CHECK (json_valid(record)),
    model_digest TEXT AS (record ->> '$.version.pins.model_digest') VIRTUAL,
    PRIMARY KEY (endpoint, number)
) STRICT;

CREATE TABLE replicas (
    endpoint TEXT NOT NULL,
    id       TEXT NOT NULL,
    version  INTEGER NOT NULL,
    record   TEXT NOT NULL CHECK (json_valid(record)),
    phase    TEXT AS (record ->> '$.phase.name') VIRTUAL,
    pid      INTEGER AS (record ->> '$.process.pid') VIRTUAL,
    port     INTEGER AS (record ->> '$.port') VIRTUAL,
    reason   TEXT AS (record ->> '$.reason') VIRTUAL,
    PRIMARY KEY (endpoint, id),
    FOREIGN KEY (endpoint, version) REFERENCES versions (endpoint, number)
) STRICT;

-- Digests of model sources, so that the same files are not read again for every plan.
CREATE TABLE digests (
    path   TEXT PRIMARY KEY,
    stamp  TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;
