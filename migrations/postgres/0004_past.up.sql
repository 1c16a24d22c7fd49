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
    state smallint NOT NULL, -- 16384 where the resource began with this version, + 256 * presence + health
    version text COLLATE "C" NOT NULL,
    odd_uid text COLLATE "C" NOT NULL, -- a UID that isn't written as UUIDs are
    status text COLLATE "C" NOT NULL,
    labels text COLLATE "C" NOT NULL, -- '': those of the version after it; '{}': none
    attrs text COLLATE "C" NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE resources_history_rest PARTITION OF resources_history DEFAULT;
CREATE INDEX resources_history_by_key ON resources_history (tenant_id, cluster_id, id, valid_to);
CREATE INDEX resources_history_labels ON resources_history (tenant_id, cluster_id, id, valid_to) WHERE labels <> '';
-- What ended and what began between two positions. Rows of a first load, which are born at 0, began with their cluster.
CREATE INDEX resources_history_by_end ON resources_history (tenant_id, cluster_id, valid_to);
CREATE INDEX resources_history_by_birth ON resources_history (tenant_id, cluster_id, valid_from) WHERE state >= 16384 AND valid_from > 0;
ALTER TABLE resources ADD COLUMN born bigint NOT NULL DEFAULT 0; -- the position it came at; unlike valid_from it stays, so that updates touch no index
CREATE INDEX resources_by_birth ON resources (tenant_id, cluster_id, born) WHERE born > 0;

ALTER TABLE edges ADD COLUMN born bigint NOT NULL DEFAULT 0;
CREATE INDEX edges_by_birth ON edges (tenant_id, cluster_id, born) WHERE born > 0;
ALTER TABLE edges_history ADD COLUMN born bigint NOT NULL DEFAULT 0;
CREATE INDEX edges_history_by_end ON edges_history (tenant_id, cluster_id, valid_to);
CREATE INDEX edges_history_by_birth ON edges_history (tenant_id, cluster_id, valid_from) WHERE born = valid_from AND valid_from > 0;

CREATE INDEX labels_history_by_pair ON labels_history (tenant_id, key, value, cluster_id, id);

-- Objects that are gone are listed by their identities.
CREATE INDEX refs_by_cluster ON refs (tenant_id, cluster_id, api_group, kind, namespace, name);
-- Positions have their instants' order.
CREATE INDEX feed_by_instant ON feed (tenant_id, at);
