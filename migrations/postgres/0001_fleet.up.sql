-- Tenants, clusters, and how their agents and people come to be trusted. Texts are ordered by their bytes (COLLATE "C") wherever an order is
-- shown or compared.

CREATE TABLE tenants (
    tenant_id bigint PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE,
    created timestamptz NOT NULL
);

-- The newest position of each tenant. Whoever writes holds this row until it commits, so positions become visible in order.
CREATE TABLE tenant_feed (
    tenant_id bigint PRIMARY KEY,
    pos bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT 'epoch',
    trimmed bigint NOT NULL DEFAULT 0, -- entries up to this one may not be read any more
    history_floor bigint NOT NULL DEFAULT 0  -- versions closed up to this one may be gone
) WITH (fillfactor = 20);

CREATE TABLE clusters (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    labels text COLLATE "C" NOT NULL,           -- a JSON object
    created timestamptz NOT NULL,
    deleted timestamptz,
    kube_uid text COLLATE "C" NOT NULL DEFAULT '',
    identity_key bytea,
    version text COLLATE "C" NOT NULL DEFAULT '',
    provider text COLLATE "C" NOT NULL DEFAULT '',
    agent text COLLATE "C" NOT NULL DEFAULT '',
    instance text COLLATE "C" NOT NULL DEFAULT '',
    share text COLLATE "C" NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0, -- the fence: only the session that holds the newest may write
    seq bigint NOT NULL DEFAULT 0,
    session_open boolean NOT NULL DEFAULT FALSE,
    load_epoch bigint NOT NULL DEFAULT 0, -- the session whose first load wrote rows that nobody sees yet; 0 for none
    load_chunks bigint NOT NULL DEFAULT 0, -- of that load, how many are written: a database that crashed may have lost some
    synced boolean NOT NULL DEFAULT FALSE,
    first_seen bigint NOT NULL DEFAULT 0, -- stands for valid_from 0 of this cluster's rows
    state text COLLATE "C" NOT NULL DEFAULT 'never',
    since timestamptz,
    last_heard timestamptz,
    generation bigint NOT NULL DEFAULT 0,
    applied_pos bigint NOT NULL DEFAULT 0, -- what the newest batch was answered, for its repetition
    applied_at timestamptz,
    applied_changed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, cluster_id)
) WITH (fillfactor = 50); -- seq and last_heard churn
CREATE UNIQUE INDEX clusters_name ON clusters (tenant_id, name) WHERE deleted IS NULL;
CREATE INDEX clusters_deleted ON clusters (deleted) WHERE deleted IS NOT NULL;

CREATE TABLE freshness (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz, -- NULL: still so
    state text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, since)
);

-- How each kind of a cluster is watched, or why it isn't.
CREATE TABLE kinds (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    plural text COLLATE "C" NOT NULL,
    namespaced boolean NOT NULL,
    observed boolean NOT NULL,
    reason text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, api_group, kind)
);

CREATE TABLE join_tokens (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    secret_hash bytea NOT NULL,
    expires timestamptz NOT NULL,
    key_hash bytea,
    created timestamptz NOT NULL,
    created_by text COLLATE "C" NOT NULL
);
CREATE INDEX join_tokens_cluster ON join_tokens (tenant_id, cluster_id);

CREATE TABLE certificates (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    serial text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    not_after timestamptz NOT NULL,
    created timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, serial)
);

CREATE TABLE api_tokens (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    groups text COLLATE "C" NOT NULL, -- a JSON list
    bindings text COLLATE "C" NOT NULL, -- a JSON list
    secret_hash bytea NOT NULL,
    created timestamptz NOT NULL,
    expires timestamptz,
    last_used timestamptz,
    created_by text COLLATE "C" NOT NULL
);
CREATE INDEX api_tokens_tenant ON api_tokens (tenant_id, name);
