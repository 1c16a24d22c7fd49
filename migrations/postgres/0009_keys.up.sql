-- What lists are ordered and narrowed by stands in the key's index, so that a page found by labels is sorted without a look at the rows.
ALTER TABLE resources DROP CONSTRAINT resources_pkey,
    ADD CONSTRAINT resources_pkey PRIMARY KEY (tenant_id, cluster_id, id) INCLUDE (api_group, kind, namespace, name, presence);
