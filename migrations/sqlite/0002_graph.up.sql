-- The graph as it is and as it was. Keys and hashes are 16 bytes; a version holds from valid_from up to, without, valid_to.

-- The identity behind every key that is current or in history.
CREATE TABLE refs (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    api_group  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id)
) WITHOUT ROWID;

CREATE TABLE resources (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    api_group  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    presence   INTEGER NOT NULL,
    health     INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    created    INTEGER NOT NULL, -- Unix seconds, by the cluster's clock
    labels     TEXT    NOT NULL, -- a JSON object, '' for none; the table labels is its index
    attrs      TEXT    NOT NULL, -- likewise
    hash       BLOB    NOT NULL,
    origin     TEXT    NOT NULL,
    valid_from INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id)
) WITHOUT ROWID;
CREATE INDEX resources_by_cluster ON resources (tenant_id, cluster_id, api_group, kind, namespace, name);
CREATE INDEX resources_by_ref ON resources (tenant_id, api_group, kind, namespace, name, cluster_id);

CREATE TABLE resources_history (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    valid_to   INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    uid        TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    presence   INTEGER NOT NULL,
    health     INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    attrs      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, valid_to)
) WITHOUT ROWID;

CREATE TABLE labels (
    tenant_id  INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    valid_from INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key, value, cluster_id, id)
) WITHOUT ROWID;

CREATE TABLE labels_history (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    key        TEXT    NOT NULL,
    valid_to   INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    value      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, key, valid_to)
) WITHOUT ROWID;

CREATE TABLE edges (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    source     BLOB    NOT NULL,
    id         BLOB    NOT NULL,
    target     BLOB    NOT NULL,
    rule       TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    disc       TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    attrs      TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    origin     TEXT    NOT NULL,
    valid_from INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, source, id)
) WITHOUT ROWID;
CREATE INDEX edges_by_target ON edges (tenant_id, cluster_id, target);

CREATE TABLE edges_history (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    source     BLOB    NOT NULL,
    id         BLOB    NOT NULL,
    valid_to   INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    target     BLOB    NOT NULL,
    rule       TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    disc       TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    attrs      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, source, id, valid_to)
) WITHOUT ROWID;
CREATE INDEX edges_history_by_target ON edges_history (tenant_id, cluster_id, target);

CREATE TABLE manifests (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    hash       BLOB    NOT NULL, -- of the text before compression
    valid_from INTEGER NOT NULL,
    body       BLOB    NOT NULL, -- zstd
    PRIMARY KEY (tenant_id, cluster_id, id)
) WITHOUT ROWID;

CREATE TABLE manifests_history (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    valid_to   INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, valid_to)
) WITHOUT ROWID;

-- The sums of the hashes of agents' rows, one row a bucket that isn't empty. tbl: 0 nodes, 1 edges, 2 manifests. A sum is that of its four words:
-- s0 * 2^96 + s1 * 2^64 + s2 * 2^32 + s3, modulo 2^128. Carries stay where they arise, so that a statement adds to a sum without reading it; a word has
-- room for two thousand million changes of its bucket.
CREATE TABLE digests (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    tbl        INTEGER NOT NULL,
    bucket     INTEGER NOT NULL,
    s0         INTEGER NOT NULL,
    s1         INTEGER NOT NULL,
    s2         INTEGER NOT NULL,
    s3         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, tbl, bucket)
) WITHOUT ROWID;

CREATE TABLE quarantine (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    tbl        TEXT    NOT NULL,
    row_key    TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    count      INTEGER NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, tbl, row_key)
) WITHOUT ROWID;
