package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const eventsHead = "Events:\n  Type     Reason                 Age   From                           Message\n  ----     ------                 ----  ----                           -------\n"

// What can't be the same on two sides is taken out; what is a difference stays one.
func TestNormalizer(t *testing.T) {
	n := newNormalizer(map[string]string{"https://127.0.0.1:4711/k8s/clusters/c1": "SERVER", "shop-a": "shop-N"})
	for _, c := range []struct{ in, want string }{
		{"api-7d9f8b6c5d-x2b4c   1/1   Running   0          12s", "api-ID 1/1 Running 0 AGE"},
		{"evicting pod nodes/guests-84bff7468b-2h45s", "evicting pod nodes/guests-ID"},
		{"web-0   2/2     Running   0          3m4s   10.0.0.7   through-node-2   <none>", "web-0 2/2 Running 0 AGE IP NODE <none>"},
		{`  resourceVersion: "1234"`, ` resourceVersion: "RV"`},
		{`{"resourceVersion":"99","uid":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}`, `{"resourceVersion":"RV","uid":"UID"}`},
		{"creationTimestamp: 2026-11-23T17:01:46Z", "creationTimestamp: TIME"},
		{"LAST DEPLOYED: Mon Nov 23 17:01:46 2026", "LAST DEPLOYED: TIME"},
		{"control plane is running at https://127.0.0.1:4711/k8s/clusters/c1", "control plane is running at SERVER"},
		{`Error from server (NotFound): configmaps "nothing" not found in shop-a`, `Error from server (NotFound): configmaps "nothing" not found in shop-N`},
		{eventsHead + "  Warning  ClusterIPNotAllocated  12s   ipallocator-repair-controller  Cluster IP [IPv4]: 10.0.0.9 is not allocated; repairing\n", "Events: <none>"},
		{eventsHead + "  Warning  Failed  12s   kubelet  so\n", "Events:\n Type Reason Age From Message\n --- --- --- --- ---\n Warning Failed AGE kubelet so"},
		{"generation: 3", "generation: 3"},
		{"replicas: 2 of 3", "replicas: 2 of 3"},
		{"deployment.apps/api scaled", "deployment.apps/api scaled"},
	} {
		if got := n.text(c.in); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
}

func TestScenarioRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.txt")
	text := "# nothing\n\necho out; echo err >&2\n! exit 3\n@ test -t 1 && stty size\necho $SIDE\nsleep 100 & echo left behind\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sc, err := readScenario(file)
	if err != nil || sc.name != "small" || len(sc.steps) != 5 || !sc.steps[1].fails || !sc.steps[2].terminal || sc.steps[0].at != "small.txt:3" {
		t.Fatalf("read %+v (%v)", sc, err)
	}
	var sides [2]*side
	for i, letter := range []string{"a", "b"} {
		sides[i] = &side{name: letter, dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH"), "SIDE=" + letter}, normal: newNormalizer(nil)}
		if err := os.WriteFile(filepath.Join(sides[i].dir, "lib.sh"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []said{{"out\n", "err\n", 0}, {"", "", 3}, {"30 100\r\n", "", 0}, {"a\n", "", 0}, {"left behind\n", "", 0}} {
		res, err := both(t.Context(), sides, sc.steps[i])
		if err != nil {
			t.Fatal(err)
		}
		if res[0] != want {
			t.Errorf("%s: %+v, want %+v", sc.steps[i].text, res[0], want)
		}
		if same := difference(res[0], res[1]) == ""; same == strings.Contains(sc.steps[i].text, "SIDE") {
			t.Errorf("%s: told as the same: %t", sc.steps[i].text, same)
		}
	}
}
