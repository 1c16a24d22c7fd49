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

-- What searches look for, in lower case: of a resource its name, the values of its labels, its images and addresses, a line each. It follows the feed,
-- outside the transactions that write rows: search_state tells how far, search_pending which clusters are still to be read as a whole, and from where.
CREATE TABLE search_texts (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    texts text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id)
);
CREATE INDEX search_texts_by_name ON search_texts (tenant_id, name);

CREATE TABLE search_state (
    tenant_id bigint NOT NULL PRIMARY KEY,
    pos bigint NOT NULL
);

CREATE TABLE search_pending (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    after uuid NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id)
);

-- The index by three letters needs an extension that comes with Postgres, and the right to create it. Without either, searches read all texts.
DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'searches will be slow: the extension pg_trgm is missing (%)', SQLERRM;
END $$;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE INDEX search_texts_by_letters ON search_texts USING gin (texts gin_trgm_ops) WITH (gin_pending_list_limit = 2048);
    END IF;
END $$;
