-- The changefeed, written in the transactions whose changes it tells, and the stream of Kubernetes Events.

CREATE TABLE feed (
    tenant_id  INTEGER NOT NULL,
    pos        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    cluster_id INTEGER NOT NULL,
    gap_since  INTEGER,
    payload    BLOB, -- NULL: nothing, or trimmed: the row then only tells the position's instant
    PRIMARY KEY (tenant_id, pos)
) WITHOUT ROWID;

CREATE TABLE events (
    tenant_id    INTEGER NOT NULL,
    cluster_id   INTEGER NOT NULL,
    uid          TEXT    NOT NULL,
    namespace    TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    regarding    BLOB    NOT NULL, -- key of what it is about
    about_group  TEXT    NOT NULL,
    about_kind   TEXT    NOT NULL,
    about_ns     TEXT    NOT NULL,
    about_name   TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    message      TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    count        INTEGER NOT NULL,
    first        INTEGER NOT NULL, -- Unix seconds, by the cluster's clock
    last         INTEGER NOT NULL,
    seen         INTEGER NOT NULL, -- by the hub's clock: what retention goes by
    PRIMARY KEY (tenant_id, cluster_id, uid)
) WITHOUT ROWID;
CREATE INDEX events_by_last ON events (tenant_id, last DESC, cluster_id, uid);
CREATE INDEX events_by_cluster ON events (tenant_id, cluster_id, last DESC, uid);
CREATE INDEX events_by_regarding ON events (tenant_id, cluster_id, regarding, last);
CREATE INDEX events_by_seen ON events (seen);
