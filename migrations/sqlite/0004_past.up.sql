-- What reading the past needs. Versions closed before this are dropped: nothing could ask for them, and they don't tell their labels.

UPDATE tenant_feed SET history_floor = pos;
DELETE FROM resources_history;
ALTER TABLE resources_history ADD COLUMN labels TEXT NOT NULL DEFAULT ''; -- '': those of the version after it; '{}': none
CREATE INDEX resources_history_labels ON resources_history (tenant_id, cluster_id, id, valid_to) WHERE labels <> '';
-- What ended and what began between two positions. Rows of a first load, which are born at 0, began with their cluster.
CREATE INDEX resources_history_by_end ON resources_history (tenant_id, cluster_id, valid_to);
ALTER TABLE resources_history ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
CREATE INDEX resources_history_by_birth ON resources_history (tenant_id, cluster_id, valid_from) WHERE born = valid_from AND valid_from > 0;
ALTER TABLE resources ADD COLUMN born INTEGER NOT NULL DEFAULT 0; -- the position it came at; unlike valid_from it stays
CREATE INDEX resources_by_birth ON resources (tenant_id, cluster_id, born) WHERE born > 0;

ALTER TABLE edges ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
CREATE INDEX edges_by_birth ON edges (tenant_id, cluster_id, born) WHERE born > 0;
ALTER TABLE edges_history ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
CREATE INDEX edges_history_by_end ON edges_history (tenant_id, cluster_id, valid_to);
CREATE INDEX edges_history_by_birth ON edges_history (tenant_id, cluster_id, valid_from) WHERE born = valid_from AND valid_from > 0;

CREATE INDEX labels_history_by_pair ON labels_history (tenant_id, key, value, cluster_id, id);

-- Objects that are gone are listed by their identities.
CREATE INDEX refs_by_cluster ON refs (tenant_id, cluster_id, api_group, kind, namespace, name);
-- Positions have their instants' order.
CREATE INDEX feed_by_instant ON feed (tenant_id, at);
