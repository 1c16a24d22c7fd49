package ops

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func affected(i *query.Impact) (out []string) {
	if i == nil {
		return nil
	}
	for _, a := range i.Affected {
		out = append(out, a.Kind+" "+a.Name)
	}
	slices.Sort(out)
	return out
}

func TestImpactOfChangesAndDeletions(t *testing.T) {
	r := newRig(t)
	target := r.as(t, everything...)
	cm := Place{Kind: "cm", Namespace: "mall", Name: "web"}
	i, err := target.ImpactOf(t.Context(), fleet.Delete, cm, ActionDelete)
	if err != nil {
		t.Fatal(err)
	}
	one := i.Objects[0]
	if one.Presence != "present" || len(one.Ties) != 3 || !slices.Contains(affected(one.Loss), "Service web") || !strings.Contains(one.Sentence, "ConfigMap web goes; 3 refer to it; with it, ") {
		t.Errorf("got %+v, %q", one, affected(one.Loss))
	}
	for name, want := range map[string][2]string{"web": {ActionChange, "present"}, "absent": {ActionCreate, "missing"}, "never-heard-of": {ActionCreate, "absent"}} {
		cm.Name = name
		if i, err = target.ImpactOf(t.Context(), fleet.Patch, cm, ActionChange); err != nil {
			t.Fatal(err)
		}
		if got := i.Objects[0]; [2]string{got.Action, got.Presence} != want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if n := len(r.served.asked); slices.ContainsFunc(r.served.asked, func(s string) bool {
		return !strings.HasPrefix(s, "GET /api") && s != "GET /version" || strings.Contains(s, "namespaces")
	}) {
		t.Errorf("the cluster was asked for more than its kinds: %q", r.served.asked[n-3:])
	}
}

func TestImpactOfScaling(t *testing.T) {
	r := newRig(t)
	target := r.as(t, everything...)
	web := Place{Kind: "deploy", Namespace: "mall", Name: "web"}
	i, err := target.ImpactOfScaling(t.Context(), web, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := affected(i.Objects[0].Loss)
	for _, stays := range []string{"ReplicaSet web-1", "HorizontalPodAutoscaler web", "Deployment web"} {
		if slices.Contains(got, stays) {
			t.Errorf("%s goes: %q", stays, got)
		}
	}
	if !slices.Contains(got, "Pod web-a") || !slices.Contains(got, "Service web") || !slices.Contains(got, "Ingress web") {
		t.Errorf("got %q", got)
	}
	counts, sum := i.Objects[0].Loss.Counts, 0
	for _, k := range counts.ByKind {
		sum += k.Breaks + k.Degrades + k.Blocked
	}
	if sum != len(got) || counts.Breaks+counts.Degrades+counts.Blocked != sum {
		t.Errorf("%+v of %d", counts, len(got))
	}
	if i, err = target.ImpactOfScaling(t.Context(), web, 5); err != nil || i.Objects[0].Loss != nil || len(i.Objects[0].Ties) == 0 {
		t.Errorf("more: %+v, %v", i, err)
	}
	if _, err := target.ImpactOfScaling(t.Context(), Place{Kind: "cm", Namespace: "mall", Name: "web"}, 0); !fault.Is(err, fault.BadRequest) {
		t.Errorf("got %v", err)
	}
}

func TestImpactOfADrain(t *testing.T) {
	r := newRig(t)
	r.cluster.Apply(topo.Delta{Manifests: []topo.Manifest{
		querytest.Manifest("Pod mall/web-a", `{"metadata":{"name":"web-a","namespace":"mall","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","controller":true}]},"spec":{"volumes":[{"emptyDir":{}}]}}`),
	}})
	target := r.as(t, everything...)
	for _, c := range []struct {
		options DrainOptions
		want    string
	}{
		{DrainOptions{DeleteEmptyDirData: true}, "db-0 evict, web-a evict"}, {DrainOptions{}, "db-0 evict, web-a refuse"}, {DrainOptions{PodSelector: "app=db"}, "db-0 evict"},
	} {
		i, err := target.ImpactOfDrain(t.Context(), "n1", c.options)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range i.Objects[0].Pods {
			got = append(got, p.Name+" "+p.Action)
			switch kinds := hits(p.Hits); {
			case p.Name == "web-a" && p.Action == ActionEvict && !slices.Contains(kinds, "budget"), p.Name == "db-0" && !slices.Contains(kinds, "single-replica"):
				t.Errorf("%s: %+v", p.Name, p)
			}
		}
		if slices.Sort(got); strings.Join(got, ", ") != c.want {
			t.Errorf("%+v: got %q, want %q", c.options, got, c.want)
		}
	}
}

func hits(list []query.Hit) (kinds []string) {
	for _, h := range list {
		kinds = append(kinds, h.Kind)
	}
	return kinds
}

func TestImpactOfDocuments(t *testing.T) {
	r := newRig(t)
	text := named("web") + "---\n{apiVersion: x/v1, kind: Nothing, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1}}\n"
	a, err := r.as(t, everything...).ImpactOfDocuments(t.Context(), Application{Text: []byte(text), Namespace: "mall"})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Documents) != 3 || a.Summary.Failed != 1 || a.Documents[1].Code != "NOT_FOUND" || len(a.Impact.Objects) != 2 || a.Documents[0].Namespace != "mall" || a.Documents[2].Namespace != "" {
		t.Errorf("got %+v", a)
	}
	for _, o := range a.Impact.Objects {
		if o.Presence != "present" {
			t.Errorf("got %+v", o)
		}
	}
}

// Rights are decided before anything is told, by the kind's own name, whether or not the cluster is connected.
func TestWhoMayAskForImpact(t *testing.T) {
	r := newRig(t)
	in := func(space string, verbs ...string) []fleet.Binding {
		return []fleet.Binding{{Verbs: verbs, Clusters: []string{"*"}, Namespaces: []string{space}}}
	}
	secret, cm := Place{Kind: "SECRETS", Namespace: "mall", Name: "old"}, Place{Kind: "ConfigMap", Namespace: "mall", Name: "web"}
	for _, away := range []bool{false, true} {
		r.served.away = away
		for _, c := range []struct {
			who   []fleet.Binding
			place Place
			want  fault.Code
		}{
			{everything, secret, ""}, {in("mall", "get", "delete"), cm, ""}, {in("mall", "get", "delete"), secret, fault.Forbidden},
			{in("mall", "get", "delete", "secrets"), secret, ""}, {in("mall", "get"), cm, fault.Forbidden}, {in("vault", "*"), cm, fault.Forbidden},
		} {
			_, err := r.as(t, c.who...).ImpactOf(t.Context(), fleet.Delete, c.place, ActionDelete)
			if c.want == "" && err != nil || c.want != "" && !fault.Is(err, c.want) {
				t.Errorf("away %v: %v on %v: %v, want %s", away, c.who, c.place, err, c.want)
			}
		}
		r.Ops.kinds.Purge() // the second round goes by the index
	}
	if _, err := r.as(t, everything...).Live(t.Context(), cm); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "last heard at noon") {
		t.Errorf("got %v", err)
	}
}

func TestHowFarARolloutIs(t *testing.T) {
	generation := metav1.ObjectMeta{Generation: 2}
	for want, s := range map[string]RolloutStatus{
		"the cluster hasn't taken up the change yet": deploymentStatus(&appsv1.Deployment{ObjectMeta: generation}),
		"1 of 3 replicas are of the new revision": deploymentStatus(&appsv1.Deployment{
			Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))}, Status: appsv1.DeploymentStatus{UpdatedReplicas: 1},
		}),
		"2 replicas of older revisions are yet to go": deploymentStatus(&appsv1.Deployment{
			Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))}, Status: appsv1.DeploymentStatus{UpdatedReplicas: 3, Replicas: 5},
		}),
		"the rollout has made no progress within its deadline": deploymentStatus(&appsv1.Deployment{Status: appsv1.DeploymentStatus{
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: "ProgressDeadlineExceeded"}},
		}}),
		"rolled out to 1 Pods; the partition keeps the others as they are": statefulSetStatus(&appsv1.StatefulSet{
			Spec:   appsv1.StatefulSetSpec{Replicas: new(int32(3)), UpdateStrategy: appsv1.StatefulSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(2))}}},
			Status: appsv1.StatefulSetStatus{ReadyReplicas: 3, UpdatedReplicas: 1, UpdateRevision: "b", CurrentRevision: "a"},
		}),
		"1 of 3 Pods are of the new revision": statefulSetStatus(&appsv1.StatefulSet{
			Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3))}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 3, UpdatedReplicas: 1, UpdateRevision: "b", CurrentRevision: "a"},
		}),
		"2 of 4 Pods are available": daemonSetStatus(&appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 2}}),
		"rolled out":                daemonSetStatus(&appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 4}}),
		onDelete:                    daemonSetStatus(&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}}}),
	} {
		if s.Message != want || s.Done != (strings.HasPrefix(want, "rolled out") || want == onDelete) || s.Failed != strings.Contains(want, "no progress") {
			t.Errorf("got %+v, want %q", s, want)
		}
	}
}

func TestAJobIsMadeOfACronJob(t *testing.T) {
	s := serve()
	long := strings.Repeat("n", 60)
	s.on("GET /apis/batch/v1/namespaces/ns/cronjobs/c", says(map[string]any{
		"metadata": map[string]any{"name": long, "namespace": "ns", "uid": "u"},
		"spec":     map[string]any{"jobTemplate": map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}}, "spec": map[string]any{"newField": 1}}},
	}))
	var sent map[string]any
	s.on("POST /apis/batch/v1/namespaces/ns/jobs", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		sent, _ = decode(body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	})
	got, err := bare(t, s).Trigger(t.Context(), Place{Kind: "cj", Namespace: "ns", Name: "c"}, "", Query{})
	if err != nil || got.Outcome != Created {
		t.Fatalf("got %+v, %v", got, err)
	}
	metadata := child(sent, "metadata")
	if name := metadata["name"].(string); len(name) != maxJobName || !strings.Contains(name, "-manual-") || child(sent, "spec")["newField"] == nil || child(metadata, "labels")["a"] != "b" {
		t.Errorf("sent %v", sent)
	}
}
