package main

import "testing"

func TestBest(t *testing.T) {
	for want, tags := range map[string][]string{
		"postgres:17":                          {"postgres:18", "postgres:17", "mypostgres:1"},
		"postgres:16-alpine":                   {"postgres:15", "postgres:16-alpine", "localhost/kubilitics-postgres:x"},
		"localhost/kubilitics-postgres:abcdef": {"localhost/kubilitics-postgres:abcdef", "busybox:1"},
	} {
		if got := best(tags); got != want {
			t.Errorf("of %v: %s", tags, got)
		}
	}
	if got := best([]string{"busybox:1", "registry.example/postgres:9"}); got != pulled {
		t.Errorf("of none: %s", got)
	}
}

func TestLocal(t *testing.T) {
	for host, want := range map[string]bool{"": true, "unix:///run/docker.sock": true, "tcp://other:2375": false} {
		t.Setenv("DOCKER_HOST", host)
		if local() != want {
			t.Errorf("%q", host)
		}
	}
}
