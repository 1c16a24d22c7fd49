-- What questions go by besides the rows themselves.

-- The application of a resource, as its attribute "app" tells it.
ALTER TABLE resources ADD COLUMN app text COLLATE "C" NOT NULL DEFAULT '';
UPDATE resources SET app = attrs::json ->> 'app' WHERE attrs LIKE '{%"app":%}' AND attrs::json ->> 'app' IS NOT NULL;

-- What isn't there is looked for by itself, and is little.
CREATE INDEX resources_missing ON resources (tenant_id, cluster_id, id) WHERE presence = 1;
