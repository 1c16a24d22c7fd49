-- What questions go by besides the rows themselves.

-- The application of a resource, as its attribute "app" tells it.
ALTER TABLE resources ADD COLUMN app text COLLATE "C" NOT NULL DEFAULT '';
UPDATE resources SET app = attrs::json ->> 'app' WHERE attrs LIKE '{%"app":%}' AND attrs::json ->> 'app' IS NOT NULL;

-- What isn't there is looked for by itself, and is little.
CREATE INDEX resources_missing ON resources (tenant_id, cluster_id, id) WHERE presence = 1;

-- How many resources of a kind there are in a namespace of a cluster, by what they are, and how many edges of a type: kept by the transactions that
-- write the rows. No number is in an index, so that it changes in its place.
CREATE TABLE counts (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    unknown bigint NOT NULL,
    ok bigint NOT NULL,
    progressing bigint NOT NULL,
    warning bigint NOT NULL,
    error bigint NOT NULL,
    missing bigint NOT NULL,
    unobserved bigint NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, api_group, kind, namespace)
) WITH (fillfactor = 50);
INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, unknown, ok, progressing, warning, error, missing, unobserved)
    SELECT r.tenant_id, r.cluster_id, r.api_group, r.kind, r.namespace, count(*) FILTER (WHERE presence = 0 AND health = 0), count(*) FILTER (WHERE presence = 0 AND health = 1),
        count(*) FILTER (WHERE presence = 0 AND health = 2), count(*) FILTER (WHERE presence = 0 AND health = 3), count(*) FILTER (WHERE presence = 0 AND health = 4),
        count(*) FILTER (WHERE presence = 1), count(*) FILTER (WHERE presence = 2)
    FROM resources r JOIN clusters c ON c.tenant_id = r.tenant_id AND c.cluster_id = r.cluster_id AND c.synced GROUP BY 1, 2, 3, 4, 5;

CREATE TABLE edge_counts (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    number bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, type)
) WITH (fillfactor = 50);
INSERT INTO edge_counts (tenant_id, cluster_id, type, number)
    SELECT e.tenant_id, e.cluster_id, e.type, count(*) FROM edges e JOIN clusters c ON c.tenant_id = e.tenant_id AND c.cluster_id = e.cluster_id AND c.synced GROUP BY 1, 2, 3;
