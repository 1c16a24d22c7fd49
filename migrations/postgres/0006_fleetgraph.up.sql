-- What clusters share, by the clusters that have it: the rows of fleet scope. A row holds from valid_from up to, without, valid_to, which is the largest
-- number while it holds.

CREATE TABLE fleet_edges (
    tenant_id bigint NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_from bigint NOT NULL,
    valid_to bigint NOT NULL,
    PRIMARY KEY (tenant_id, api_group, kind, namespace, name, cluster_id, valid_to)
);
CREATE INDEX fleet_edges_by_id ON fleet_edges (tenant_id, id, cluster_id);
CREATE INDEX fleet_edges_by_cluster ON fleet_edges (tenant_id, cluster_id, id);

CREATE TABLE fleet_state (
    tenant_id bigint PRIMARY KEY,
    pos bigint NOT NULL
);
