-- What questions go by besides the rows themselves.

-- The application of a resource, as its attribute "app" tells it.
ALTER TABLE resources ADD COLUMN app TEXT NOT NULL DEFAULT '';
UPDATE resources SET app = json_extract(attrs, '$.app') WHERE json_valid(attrs) AND json_extract(attrs, '$.app') IS NOT NULL;

-- What isn't there is looked for by itself, and is little.
CREATE INDEX resources_missing ON resources (tenant_id, cluster_id, id) WHERE presence = 1;

-- How many resources of a kind there are in a namespace of a cluster, by what they are, and how many edges of a type: kept by the transactions that
-- write the rows.
CREATE TABLE counts (
    tenant_id   INTEGER NOT NULL,
    cluster_id  INTEGER NOT NULL,
    api_group   TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    namespace   TEXT    NOT NULL,
    unknown     INTEGER NOT NULL,
    ok          INTEGER NOT NULL,
    progressing INTEGER NOT NULL,
    warning     INTEGER NOT NULL,
    error       INTEGER NOT NULL,
    missing     INTEGER NOT NULL,
    unobserved  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, api_group, kind, namespace)
) WITHOUT ROWID;
INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, unknown, ok, progressing, warning, error, missing, unobserved)
    SELECT r.tenant_id, r.cluster_id, r.api_group, r.kind, r.namespace, sum(presence = 0 AND health = 0), sum(presence = 0 AND health = 1), sum(presence = 0 AND health = 2),
        sum(presence = 0 AND health = 3), sum(presence = 0 AND health = 4), sum(presence = 1), sum(presence = 2)
    FROM resources r JOIN clusters c ON c.tenant_id = r.tenant_id AND c.cluster_id = r.cluster_id AND c.synced GROUP BY 1, 2, 3, 4, 5;

CREATE TABLE edge_counts (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    type       TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, type)
) WITHOUT ROWID;
INSERT INTO edge_counts (tenant_id, cluster_id, type, number)
    SELECT e.tenant_id, e.cluster_id, e.type, count(*) FROM edges e JOIN clusters c ON c.tenant_id = e.tenant_id AND c.cluster_id = e.cluster_id AND c.synced GROUP BY 1, 2, 3;
