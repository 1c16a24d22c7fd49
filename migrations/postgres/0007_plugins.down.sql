DROP TABLE dead_letters, finding_news, finding_counters, plugin_findings, plugin_edges, plugin_attrs, followers;
