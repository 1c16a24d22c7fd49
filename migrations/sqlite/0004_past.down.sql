DROP INDEX feed_by_instant;
DROP INDEX refs_by_cluster;
DROP INDEX labels_history_by_pair;
DROP INDEX resources_history_labels;
ALTER TABLE resources_history DROP COLUMN labels;
UPDATE tenant_feed SET history_floor = pos;
