DROP TABLE fleet_state;
DROP TABLE fleet_edges;
