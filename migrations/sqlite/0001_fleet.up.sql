-- Tenants, clusters, and how their agents and people come to be trusted. Instants are Unix microseconds, NULL where there is none.

CREATE TABLE tenants (
    tenant_id INTEGER PRIMARY KEY,
    slug      TEXT    NOT NULL UNIQUE,
    created   INTEGER NOT NULL
);

-- The newest position of each tenant. Whoever writes holds this row until it commits, so positions become visible in order.
CREATE TABLE tenant_feed (
    tenant_id     INTEGER PRIMARY KEY,
    pos           INTEGER NOT NULL DEFAULT 0,
    at            INTEGER NOT NULL DEFAULT 0,
    trimmed       INTEGER NOT NULL DEFAULT 0, -- entries up to this one may not be read any more
    history_floor INTEGER NOT NULL DEFAULT 0  -- versions closed up to this one may be gone
);

CREATE TABLE clusters (
    tenant_id       INTEGER NOT NULL,
    cluster_id      INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    labels          TEXT    NOT NULL,           -- a JSON object
    created         INTEGER NOT NULL,
    deleted         INTEGER,
    kube_uid        TEXT    NOT NULL DEFAULT '',
    identity_key    BLOB,
    version         TEXT    NOT NULL DEFAULT '',
    provider        TEXT    NOT NULL DEFAULT '',
    agent           TEXT    NOT NULL DEFAULT '',
    instance        TEXT    NOT NULL DEFAULT '',
    share           TEXT    NOT NULL DEFAULT '',
    epoch           INTEGER NOT NULL DEFAULT 0, -- the fence: only the session that holds the newest may write
    seq             INTEGER NOT NULL DEFAULT 0,
    session_open    BOOLEAN NOT NULL DEFAULT FALSE,
    load_epoch      INTEGER NOT NULL DEFAULT 0, -- the session whose first load wrote rows that nobody sees yet; 0 for none
    synced          BOOLEAN NOT NULL DEFAULT FALSE,
    first_seen      INTEGER NOT NULL DEFAULT 0, -- stands for valid_from 0 of this cluster's rows
    state           TEXT    NOT NULL DEFAULT 'never',
    since           INTEGER,
    last_heard      INTEGER,
    generation      INTEGER NOT NULL DEFAULT 0,
    applied_pos     INTEGER NOT NULL DEFAULT 0, -- what the newest batch was answered, for its repetition
    applied_at      INTEGER,
    applied_changed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, cluster_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX clusters_name ON clusters (tenant_id, name) WHERE deleted IS NULL;
CREATE INDEX clusters_deleted ON clusters (deleted) WHERE deleted IS NOT NULL;

CREATE TABLE freshness (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    until      INTEGER, -- NULL: still so
    state      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, since)
) WITHOUT ROWID;

-- How each kind of a cluster is watched, or why it isn't.
CREATE TABLE kinds (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    api_group  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    plural     TEXT    NOT NULL,
    namespaced BOOLEAN NOT NULL,
    observed   BOOLEAN NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, api_group, kind)
) WITHOUT ROWID;

CREATE TABLE join_tokens (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant_id   INTEGER NOT NULL,
    cluster_id  INTEGER NOT NULL,
    secret_hash BLOB    NOT NULL,
    expires     INTEGER NOT NULL,
    key_hash    BLOB,
    created     INTEGER NOT NULL,
    created_by  TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX join_tokens_cluster ON join_tokens (tenant_id, cluster_id);

CREATE TABLE certificates (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    serial     TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, serial)
) WITHOUT ROWID;

CREATE TABLE api_tokens (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant_id   INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    groups      TEXT    NOT NULL, -- a JSON list
    bindings    TEXT    NOT NULL, -- a JSON list
    secret_hash BLOB    NOT NULL,
    created     INTEGER NOT NULL,
    expires     INTEGER,
    last_used   INTEGER,
    created_by  TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX api_tokens_tenant ON api_tokens (tenant_id, name);
