package reduce_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func reducer(t testing.TB) *reduce.Reducer {
	t.Helper()
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	return reduce.New(table)
}

// kindOf reads what the API server says beside the object.
func kindOf(apiVersion, kind string) reduce.Kind {
	k := reduce.Kind{GroupKind: topo.GroupKind{Kind: kind}, Version: apiVersion}
	if group, version, ok := strings.Cut(apiVersion, "/"); ok {
		k.Group, k.Version = group, version
	}
	return k
}

func reduced(t testing.TB, apiVersion, kind, body string) reduce.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	o, err := reducer(t).Reduce(kindOf(apiVersion, kind), raw, true)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestHeartbeatsChangeNothing: neither the graph nor the text that is shared.
func TestHeartbeatsChangeNothing(t *testing.T) {
	for _, c := range []struct{ apiVersion, kind, body string }{
		{"v1", "Node", "metadata: {name: n, resourceVersion: 'BEAT', managedFields: [{time: BEAT}]}\nstatus: {conditions: [{type: Ready, status: 'True', lastHeartbeatTime: BEAT}]}"},
		{"coordination.k8s.io/v1", "Lease", "metadata: {name: n, namespace: kube-node-lease, resourceVersion: 'BEAT'}\nspec: {holderIdentity: n, renewTime: BEAT}"},
	} {
		engine := topo.NewEngine(table(t))
		var texts []string
		for _, beat := range []string{"one", "two"} {
			o := reduced(t, c.apiVersion, c.kind, strings.ReplaceAll(c.body, "BEAT", beat))
			texts = append(texts, string(o.Text))
			d := engine.Apply(topo.Change{Ref: o.Resource.Ref, Resource: &o.Resource})
			if beat == "two" && !d.Empty() {
				t.Errorf("%s: %+v", c.kind, d)
			}
		}
		if texts[0] != texts[1] || strings.Contains(texts[0], "one") {
			t.Errorf("%s: %s and %s", c.kind, texts[0], texts[1])
		}
	}
}

func table(t testing.TB) *rules.Table {
	t.Helper()
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestSecretsStay: no rule, also not one that a user writes, brings a value out.
func TestSecretsStay(t *testing.T) {
	secret := "metadata: {name: s, namespace: x, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"data\":{\"token\":\"c2VjcmV0\"}}'}}\n" +
		"data: {token: c2VjcmV0}\nstringData: {plain: secret}\ntype: Opaque"
	raw, err := yaml.YAMLToJSON([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"data.token", "data", "stringData.plain", "metadata", "metadata.annotations",
		"metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']"} {
		row := rules.Row{Name: "secret-thief", Type: topo.References, From: []string{"Secret"}, Ref: &rules.Ref{To: "ConfigMap", Name: path}}
		if _, err := rules.Default(row); err == nil || !strings.Contains(err.Error(), "may hold a Secret's values") {
			t.Errorf("a rule for Secrets reads %s: %v", path, err)
		}
		row.From = []string{"*"}
		table, err := rules.Default(row)
		if err != nil {
			t.Fatal(err)
		}
		o, err := reduce.New(table).Reduce(kindOf("v1", "Secret"), raw, true)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := json.Marshal(o.Resource)
		if all := string(said) + string(o.Text); strings.Contains(all, "c2VjcmV0") || strings.Contains(all, "\"secret\"") {
			t.Errorf("a rule for all kinds reads %s: %s", path, all)
		}
	}
}

// FuzzReduce reads anything as an object of any kind: it never panics, and what it takes for the name is the name.
func FuzzReduce(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a","labels":{"a":"b"}},"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"x"}}]}]}}`), uint8(0))
	f.Add([]byte(`{"metadata":{"name":"s"},"data":{"a":"Yg=="}}`), uint8(1))
	f.Add([]byte(`{"metadata":{"name":"n"},"spec":{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"::/0"}}]}]}}`), uint8(2))
	kinds := []reduce.Kind{kindOf("v1", "Pod"), kindOf("v1", "Secret"), kindOf("networking.k8s.io/v1", "NetworkPolicy"), kindOf("apps/v1", "StatefulSet")}
	for _, g := range kindsOfAll() {
		kinds = append(kinds, kindOf(g.apiVersion, g.kind))
	}
	reducer := reducer(f)
	f.Fuzz(func(t *testing.T, raw []byte, kind uint8) {
		o, err := reducer.Reduce(kinds[int(kind)%len(kinds)], raw, true)
		if err != nil {
			return
		}
		topo.NewEngine(table(t)).Apply(topo.Change{Ref: o.Resource.Ref, Resource: &o.Resource})
		if strings.ContainsRune(o.Resource.Ref.Name, 0) || !json.Valid(o.Text) {
			t.Errorf("%q became %q and %q", raw, o.Resource.Ref.Name, o.Text)
		}
	})
}
