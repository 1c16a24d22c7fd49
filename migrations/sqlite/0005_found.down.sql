DROP INDEX resources_missing;
ALTER TABLE resources DROP COLUMN app;
