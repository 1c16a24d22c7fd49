DROP TABLE edge_counts;
DROP TABLE counts;
DROP INDEX resources_missing;
ALTER TABLE resources DROP COLUMN app;
