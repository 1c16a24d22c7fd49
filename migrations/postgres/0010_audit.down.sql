DROP TABLE audit_hubs;
DROP TABLE audit_open;
DROP TABLE audit;
