DROP INDEX feed_by_instant;
DROP INDEX refs_by_cluster;
DROP INDEX labels_history_by_pair;
ALTER TABLE edges_history DROP COLUMN born; -- its index goes with it
DROP INDEX edges_history_by_end;
ALTER TABLE edges DROP COLUMN born;
ALTER TABLE resources DROP COLUMN born;
DROP TABLE resources_history;
CREATE TABLE resources_history (
    tenant_id bigint NOT NULL,
    cluster_id bigint NOT NULL,
    id uuid NOT NULL,
    valid_to bigint NOT NULL,
    valid_from bigint NOT NULL,
    uid text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    presence smallint NOT NULL,
    health smallint NOT NULL,
    status text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    attrs text COLLATE "C" NOT NULL,
    closed date NOT NULL
) PARTITION BY RANGE (closed);
CREATE TABLE resources_history_rest PARTITION OF resources_history DEFAULT;
CREATE INDEX resources_history_by_key ON resources_history (tenant_id, cluster_id, id, valid_to);
UPDATE tenant_feed SET history_floor = pos;
