-- Which texts ended between two positions.
CREATE INDEX manifests_history_by_end ON manifests_history (tenant_id, cluster_id, valid_to);
