DROP TABLE search_pending;
DROP TABLE search_state;
DROP TABLE search_texts;
DROP TABLE edge_counts;
DROP TABLE counts;
DROP INDEX resources_missing;
ALTER TABLE resources DROP COLUMN app;
