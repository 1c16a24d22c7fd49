DROP INDEX manifests_history_by_end;
