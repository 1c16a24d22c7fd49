DROP TABLE dead_letters;
DROP TABLE finding_news;
DROP TABLE finding_counters;
DROP TABLE plugin_findings;
DROP TABLE plugin_edges;
DROP TABLE plugin_attrs;
DROP TABLE followers;
