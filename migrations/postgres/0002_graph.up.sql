-- The graph as it is and as it was. Keys and hashes are 16 bytes; a version holds from valid_from up to, without, valid_to.

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
);
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
    PRIMARY KEY (tenant_id, cluster_id, id, valid_to)
);

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
    PRIMARY KEY (tenant_id, cluster_id, id, key, valid_to)
);

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
    PRIMARY KEY (tenant_id, cluster_id, source, id, valid_to)
);
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

CREATE TABLE manifests_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    hash uuid NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, valid_to)
);

-- The sums of the hashes of agents' rows, one row a bucket that isn't empty. tbl: 0 nodes, 1 edges, 2 manifests.
CREATE TABLE digests (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    tbl smallint NOT NULL,
    bucket smallint NOT NULL,
    sum uuid NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, tbl, bucket)
);

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
