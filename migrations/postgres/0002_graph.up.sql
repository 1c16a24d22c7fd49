-- The graph as it is and as it was. Keys and hashes are 16 bytes; a version holds from valid_from up to, without, valid_to.
--
-- History is partitioned by the day (UTC) on which a version was closed, not by the position: positions of different tenants don't run alike, and a
-- partition must be old for all of them to be dropped. The store makes the days' partitions ahead; what falls beside them goes to the rest.

-- The identity behind every key that is current or in history.
CREATE TABLE refs (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id)
);

CREATE TABLE resources (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    uid text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    presence smallint NOT NULL,
    health smallint NOT NULL,
    status text COLLATE "C" NOT NULL,
    created bigint NOT NULL, -- Unix seconds, by the cluster's clock
    labels text COLLATE "C" NOT NULL, -- a JSON object, '' for none; the table labels is its index
    attrs text COLLATE "C" NOT NULL, -- likewise
    hash uuid NOT NULL,
    origin text COLLATE "C" NOT NULL,
    valid_from bigint NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id)
) WITH (fillfactor = 80); -- status churns: an update finds room on its page and touches no index
CREATE INDEX resources_by_cluster ON resources (tenant_id, cluster_id, api_group, kind, namespace, name);
CREATE INDEX resources_by_ref ON resources (tenant_id, api_group, kind, namespace, name, cluster_id);

CREATE TABLE resources_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    uid text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    presence smallint NOT NULL,
    health smallint NOT NULL,
    status text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    attrs text COLLATE "C" NOT NULL,
    closed date NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE resources_history_rest PARTITION OF resources_history DEFAULT;
CREATE INDEX resources_history_by_key ON resources_history (tenant_id, cluster_id, id, valid_to);

CREATE TABLE labels (
    tenant_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_from bigint NOT NULL,
    PRIMARY KEY (tenant_id, key, value, cluster_id, id)
);

CREATE TABLE labels_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    value text COLLATE "C" NOT NULL,
    closed date NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE labels_history_rest PARTITION OF labels_history DEFAULT;
CREATE INDEX labels_history_by_key ON labels_history (tenant_id, cluster_id, id, key, valid_to);

CREATE TABLE edges (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    source uuid NOT NULL,
    id uuid NOT NULL,
    target uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    disc text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    attrs text COLLATE "C" NOT NULL,
    hash uuid NOT NULL,
    origin text COLLATE "C" NOT NULL,
    valid_from bigint NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, source, id)
);
CREATE INDEX edges_by_target ON edges (tenant_id, cluster_id, target);

CREATE TABLE edges_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    source uuid NOT NULL,
    id uuid NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    target uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    disc text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    attrs text COLLATE "C" NOT NULL,
    closed date NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE edges_history_rest PARTITION OF edges_history DEFAULT;
CREATE INDEX edges_history_by_key ON edges_history (tenant_id, cluster_id, source, id, valid_to);
CREATE INDEX edges_history_by_target ON edges_history (tenant_id, cluster_id, target);

CREATE TABLE manifests (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    hash uuid NOT NULL, -- of the text before compression
    valid_from bigint NOT NULL,
    body bytea NOT NULL, -- zstd
    PRIMARY KEY (tenant_id, cluster_id, id)
);

ALTER TABLE manifests ALTER COLUMN body SET STORAGE EXTERNAL; -- it is compressed already

CREATE TABLE manifests_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    hash uuid NOT NULL,
    body bytea NOT NULL,
    closed date NOT NULL
) PARTITION BY RANGE (closed);
ALTER TABLE manifests_history ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE manifests_history_rest PARTITION OF manifests_history DEFAULT;
CREATE INDEX manifests_history_by_key ON manifests_history (tenant_id, cluster_id, id, valid_to);

-- The sums of the hashes of agents' rows, one row a bucket that isn't empty. tbl: 0 nodes, 1 edges, 2 manifests. A sum is that of its four words:
-- s0 * 2^96 + s1 * 2^64 + s2 * 2^32 + s3, modulo 2^128. Carries stay where they arise, so that a statement adds to a sum without reading it; a word has
-- room for two thousand million changes of its bucket.
CREATE TABLE digests (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    tbl smallint NOT NULL,
    bucket smallint NOT NULL,
    s0 bigint NOT NULL,
    s1 bigint NOT NULL,
    s2 bigint NOT NULL,
    s3 bigint NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, tbl, bucket)
) WITH (fillfactor = 50);

CREATE TABLE quarantine (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    tbl text COLLATE "C" NOT NULL,
    row_key text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, tbl, row_key)
);

-- Small samples of the keys tell the planner enough, and let the store have them taken after a first load.
ALTER TABLE refs ALTER COLUMN tenant_id SET STATISTICS 10, ALTER COLUMN cluster_id SET STATISTICS 10, ALTER COLUMN id SET STATISTICS 10;
ALTER TABLE resources ALTER COLUMN tenant_id SET STATISTICS 10, ALTER COLUMN cluster_id SET STATISTICS 10, ALTER COLUMN id SET STATISTICS 10;
ALTER TABLE labels ALTER COLUMN tenant_id SET STATISTICS 10, ALTER COLUMN cluster_id SET STATISTICS 10, ALTER COLUMN id SET STATISTICS 10;
ALTER TABLE edges ALTER COLUMN tenant_id SET STATISTICS 10, ALTER COLUMN cluster_id SET STATISTICS 10, ALTER COLUMN source SET STATISTICS 10,
    ALTER COLUMN id SET STATISTICS 10, ALTER COLUMN target SET STATISTICS 10;
