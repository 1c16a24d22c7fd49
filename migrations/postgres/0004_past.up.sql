-- What reading the past needs. Versions closed before this are dropped: nothing could ask for them, and they don't tell their labels.

UPDATE tenant_feed SET history_floor = pos;
DROP TABLE resources_history;

-- A version holds no identity; that is in refs. The columns stand in the order that leaves no gaps between them.
CREATE TABLE resources_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    uid uuid NOT NULL, -- zero: see odd_uid
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    created bigint NOT NULL,
    closed date NOT NULL,
    state smallint NOT NULL, -- 256 * presence + health
    version text COLLATE "C" NOT NULL,
    odd_uid text COLLATE "C" NOT NULL, -- a UID that isn't written as UUIDs are
    status text COLLATE "C" NOT NULL,
    labels text COLLATE "C" NOT NULL, -- '': those of the version after it; '{}': none
    attrs text COLLATE "C" NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE resources_history_rest PARTITION OF resources_history DEFAULT;
CREATE INDEX resources_history_by_key ON resources_history (tenant_id, cluster_id, id, valid_to);
CREATE INDEX resources_history_labels ON resources_history (tenant_id, cluster_id, id, valid_to) WHERE labels <> '';

CREATE INDEX labels_history_by_pair ON labels_history (tenant_id, key, value, cluster_id, id);

-- Objects that are gone are listed by their identities.
CREATE INDEX refs_by_cluster ON refs (tenant_id, cluster_id, api_group, kind, namespace, name);
-- Positions have their instants' order.
CREATE INDEX feed_by_instant ON feed (tenant_id, at);
