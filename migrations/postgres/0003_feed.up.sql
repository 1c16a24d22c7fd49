-- The changefeed, written in the transactions whose changes it tells, and the stream of Kubernetes Events.

CREATE TABLE feed (
    tenant_id bigint NOT NULL,
    pos bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    cluster_id bigint NOT NULL,
    gap_since timestamptz,
    payload bytea, -- NULL: nothing, or trimmed: the row then only tells the position's instant
    PRIMARY KEY (tenant_id, pos)
);

CREATE TABLE events (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    uid text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    regarding uuid NOT NULL, -- key of what it is about
    about_group text COLLATE "C" NOT NULL,
    about_kind text COLLATE "C" NOT NULL,
    about_ns text COLLATE "C" NOT NULL,
    about_name text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    message text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    first bigint NOT NULL, -- Unix seconds, by the cluster's clock
    last bigint NOT NULL,
    seen timestamptz NOT NULL, -- by the hub's clock: what retention goes by
    PRIMARY KEY (tenant_id, cluster_id, uid)
);
CREATE INDEX events_by_last ON events (tenant_id, last DESC, cluster_id, uid);
CREATE INDEX events_by_cluster ON events (tenant_id, cluster_id, last DESC, uid);
CREATE INDEX events_by_regarding ON events (tenant_id, cluster_id, regarding, last);
CREATE INDEX events_by_seen ON events (seen);

ALTER TABLE feed ALTER COLUMN payload SET STORAGE EXTERNAL; -- it is compressed already
