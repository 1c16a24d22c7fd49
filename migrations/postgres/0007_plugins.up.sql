-- What plugins add to the graph, in tables of its own: no digest covers it and no agent sends it. And how far plugins and notifiers have come in
-- each tenant's feed, and what they could not deliver.

CREATE TABLE followers (
    tenant_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    position bigint NOT NULL, -- -1: not begun
    note text COLLATE "C" NOT NULL, -- the follower's own
    holder text COLLATE "C" NOT NULL, -- the process that works for it, until the lease has run out
    until timestamptz,
    PRIMARY KEY (tenant_id, name)
) WITH (fillfactor = 50);

CREATE TABLE plugin_attrs (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    plugin text COLLATE "C" NOT NULL,
    uid text COLLATE "C" NOT NULL, -- of the object that the plugin saw: what is said of it isn't shown of another of the same name
    attrs text COLLATE "C" NOT NULL, -- a JSON object
    PRIMARY KEY (tenant_id, cluster_id, id, plugin)
);

CREATE TABLE plugin_edges (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    about uuid NOT NULL, -- the end that the plugin was asked about
    plugin text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    uid text COLLATE "C" NOT NULL, -- of about
    source uuid NOT NULL,
    target uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, about, plugin, id)
);
CREATE INDEX plugin_edges_by_source ON plugin_edges (tenant_id, cluster_id, source, id);
CREATE INDEX plugin_edges_by_target ON plugin_edges (tenant_id, cluster_id, target);

CREATE TABLE plugin_findings (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    plugin text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    uid text COLLATE "C" NOT NULL,
    severity smallint NOT NULL,
    sentence text COLLATE "C" NOT NULL,
    confidence double precision NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, plugin, code)
);

-- Findings that came and went, in order, for those who tell people. Whoever writes holds the counter's row until it commits.
CREATE TABLE finding_counters (
    tenant_id bigint PRIMARY KEY,
    seq bigint NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE finding_news (
    tenant_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    cluster_id bigint NOT NULL,
    api_group text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    plugin text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    resolved boolean NOT NULL,
    severity smallint NOT NULL,
    sentence text COLLATE "C" NOT NULL,
    confidence double precision NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX finding_news_by_at ON finding_news (at);

CREATE TABLE dead_letters (
    tenant_id bigint NOT NULL,
    id text COLLATE "C" NOT NULL, -- in the order of their making
    notifier text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    created timestamptz NOT NULL,
    tried timestamptz NOT NULL,
    attempts bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
