-- What reading the past needs. Versions closed before this are dropped: nothing could ask for them, and they don't tell their labels.

UPDATE tenant_feed SET history_floor = pos;
DELETE FROM resources_history;
ALTER TABLE resources_history ADD COLUMN labels TEXT NOT NULL DEFAULT ''; -- '': those of the version after it; '{}': none
CREATE INDEX resources_history_labels ON resources_history (tenant_id, cluster_id, id, valid_to) WHERE labels <> '';

CREATE INDEX labels_history_by_pair ON labels_history (tenant_id, key, value, cluster_id, id);

-- Objects that are gone are listed by their identities.
CREATE INDEX refs_by_cluster ON refs (tenant_id, cluster_id, api_group, kind, namespace, name);
-- Positions have their instants' order.
CREATE INDEX feed_by_instant ON feed (tenant_id, at);
