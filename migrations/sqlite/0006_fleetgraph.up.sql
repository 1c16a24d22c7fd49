-- What clusters share, by the clusters that have it: the rows of fleet scope. A row holds from valid_from up to, without, valid_to, which is the largest
-- number while it holds.

CREATE TABLE fleet_edges (
    tenant_id  INTEGER NOT NULL,
    api_group  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    valid_from INTEGER NOT NULL,
    valid_to   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, api_group, kind, namespace, name, cluster_id, valid_to)
) WITHOUT ROWID;
CREATE INDEX fleet_edges_by_id ON fleet_edges (tenant_id, id, cluster_id);
CREATE INDEX fleet_edges_by_cluster ON fleet_edges (tenant_id, cluster_id, id);

CREATE TABLE fleet_state (
    tenant_id INTEGER PRIMARY KEY,
    pos       INTEGER NOT NULL
);
