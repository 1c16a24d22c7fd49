DROP TABLE api_tokens;
DROP TABLE certificates;
DROP TABLE join_tokens;
DROP TABLE kinds;
DROP TABLE freshness;
DROP TABLE clusters;
DROP TABLE tenant_feed;
DROP TABLE tenants;
