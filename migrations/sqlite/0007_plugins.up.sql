-- What plugins add to the graph, in tables of its own: no digest covers it and no agent sends it. And how far plugins and notifiers have come in
-- each tenant's feed, and what they could not deliver.

CREATE TABLE followers (
    tenant_id INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    position  INTEGER NOT NULL, -- -1: not begun
    note      TEXT    NOT NULL, -- the follower's own
    holder    TEXT    NOT NULL, -- the process that works for it, until the lease has run out
    until     INTEGER,
    PRIMARY KEY (tenant_id, name)
) WITHOUT ROWID;

CREATE TABLE plugin_attrs (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    plugin     TEXT    NOT NULL,
    uid        TEXT    NOT NULL, -- of the object that the plugin saw: what is said of it isn't shown of another of the same name
    attrs      TEXT    NOT NULL, -- a JSON object
    PRIMARY KEY (tenant_id, cluster_id, id, plugin)
) WITHOUT ROWID;

CREATE TABLE plugin_edges (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    about      BLOB    NOT NULL, -- the end that the plugin was asked about
    plugin     TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    uid        TEXT    NOT NULL, -- of about
    source     BLOB    NOT NULL,
    target     BLOB    NOT NULL,
    type       TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, about, plugin, id)
) WITHOUT ROWID;
CREATE INDEX plugin_edges_by_source ON plugin_edges (tenant_id, cluster_id, source, id);
CREATE INDEX plugin_edges_by_target ON plugin_edges (tenant_id, cluster_id, target);

CREATE TABLE plugin_findings (
    tenant_id  INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    plugin     TEXT    NOT NULL,
    code       TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    severity   INTEGER NOT NULL,
    sentence   TEXT    NOT NULL,
    confidence REAL    NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, id, plugin, code)
) WITHOUT ROWID;

-- Findings that came and went, in order, for those who tell people. Whoever writes holds the counter's row until it commits.
CREATE TABLE finding_counters (
    tenant_id INTEGER PRIMARY KEY,
    seq       INTEGER NOT NULL
);

CREATE TABLE finding_news (
    tenant_id  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    cluster_id INTEGER NOT NULL,
    api_group  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    plugin     TEXT    NOT NULL,
    code       TEXT    NOT NULL,
    resolved   INTEGER NOT NULL,
    severity   INTEGER NOT NULL,
    sentence   TEXT    NOT NULL,
    confidence REAL    NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) WITHOUT ROWID;
CREATE INDEX finding_news_by_at ON finding_news (at);

CREATE TABLE dead_letters (
    tenant_id INTEGER NOT NULL,
    id        TEXT    NOT NULL, -- in the order of their making
    notifier  TEXT    NOT NULL,
    rule      TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    tried     INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;
