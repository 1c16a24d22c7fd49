-- Who did what. A request that is under way stands in audit_open; when it has ended its row moves to audit, which is only ever appended to. Ids are UUIDs
-- of version 7: they sort by time.

CREATE TABLE audit (
    tenant_id  INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    at         INTEGER NOT NULL,
    hub        TEXT    NOT NULL,
    request    TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    groups     TEXT    NOT NULL, -- a JSON list, or nothing
    token      TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    via        TEXT    NOT NULL,
    cluster_id INTEGER NOT NULL, -- 0: of none
    verb       TEXT    NOT NULL,
    api_group  TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    command    TEXT    NOT NULL, -- a JSON list, or nothing
    dry_run    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    took       INTEGER NOT NULL, -- microseconds
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;

CREATE TABLE audit_open (
    tenant_id  INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    at         INTEGER NOT NULL,
    hub        TEXT    NOT NULL,
    request    TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    groups     TEXT    NOT NULL, -- a JSON list, or nothing
    token      TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    via        TEXT    NOT NULL,
    cluster_id INTEGER NOT NULL, -- 0: of none
    verb       TEXT    NOT NULL,
    api_group  TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    command    TEXT    NOT NULL, -- a JSON list, or nothing
    dry_run    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    took       INTEGER NOT NULL, -- microseconds
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;

CREATE INDEX audit_by_cluster ON audit (tenant_id, cluster_id, id);
CREATE INDEX audit_by_who ON audit (tenant_id, who, id);
CREATE INDEX audit_by_request ON audit (tenant_id, request, id);
-- What changes something is rare among what reads.
CREATE INDEX audit_writes ON audit (tenant_id, id) WHERE verb NOT IN ('get', 'list', 'watch');
CREATE INDEX audit_writes_by_name ON audit (tenant_id, name, id) WHERE verb NOT IN ('get', 'list', 'watch');

-- The hubs that take requests, and when each was last seen.
CREATE TABLE audit_hubs (
    hub  TEXT    PRIMARY KEY,
    seen INTEGER NOT NULL
) WITHOUT ROWID;
