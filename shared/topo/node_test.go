package topo_test

import (
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestWorstHealth(t *testing.T) {
	order := []topo.Health{topo.OK, topo.Unknown, topo.Progressing, topo.Warning, topo.Error}
	for i, a := range order {
		for j, b := range order {
			if a.Worse(b) != (i > j) {
				t.Errorf("%s is worse than %s: %v", a, b, a.Worse(b))
			}
			if got := topo.Worst(a, b); got != order[max(i, j)] {
				t.Errorf("the worst of %s and %s is %s", a, b, got)
			}
		}
	}
	if topo.Worst() != topo.Unknown {
		t.Error("nothing rolls up to something known")
	}
}
