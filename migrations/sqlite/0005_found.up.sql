-- What questions go by besides the rows themselves.

-- The application of a resource, as its attribute "app" tells it.
ALTER TABLE resources ADD COLUMN app TEXT NOT NULL DEFAULT '';
UPDATE resources SET app = json_extract(attrs, '$.app') WHERE json_valid(attrs) AND json_extract(attrs, '$.app') IS NOT NULL;

-- What isn't there is looked for by itself, and is little.
CREATE INDEX resources_missing ON resources (tenant_id, cluster_id, id) WHERE presence = 1;
