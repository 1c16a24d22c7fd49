-- Who did what. A request that is under way stands in audit_open; when it has ended its row moves to audit, which is only ever appended to, so that
-- nothing there is written twice or has to be vacuumed. Ids are UUIDs of version 7: they sort by time, so the parts are days, and a day that was kept
-- long enough goes in one stroke.

CREATE TABLE audit (
    tenant_id bigint NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    hub text COLLATE "C" NOT NULL,
    request text COLLATE "C" NOT NULL,
    who text COLLATE "C" NOT NULL,
    groups text COLLATE "C" NOT NULL, -- a JSON list, or nothing
    token text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    via text COLLATE "C" NOT NULL,
    cluster_id bigint NOT NULL, -- 0: of none
    verb text COLLATE "C" NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    command text COLLATE "C" NOT NULL, -- a JSON list, or nothing
    dry_run smallint NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    status bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    took bigint NOT NULL, -- microseconds
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);

CREATE TABLE audit_open (LIKE audit, PRIMARY KEY (tenant_id, id)) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE INDEX audit_by_cluster ON audit (tenant_id, cluster_id, id);
CREATE INDEX audit_by_who ON audit (tenant_id, who, id);
CREATE INDEX audit_by_request ON audit (tenant_id, request, id);
-- What changes something is rare among what reads.
CREATE INDEX audit_writes ON audit (tenant_id, id) WHERE verb NOT IN ('get', 'list', 'watch');
CREATE INDEX audit_writes_by_name ON audit (tenant_id, name, id) WHERE verb NOT IN ('get', 'list', 'watch');

CREATE TABLE audit_rest PARTITION OF audit DEFAULT;

-- The hubs that take requests, and when each was last seen, by the database's clock.
CREATE TABLE audit_hubs (
    hub text COLLATE "C" PRIMARY KEY,
    seen timestamptz NOT NULL
) WITH (fillfactor = 50);
