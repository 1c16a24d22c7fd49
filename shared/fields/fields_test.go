package fields

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func compile(t testing.TB, kind topo.GroupKind, groups ...Group) *Plan {
	t.Helper()
	p, err := Compile(kind, groups)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const podJSON = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop","uid":"u1","resourceVersion":"7","creationTimestamp":"2026-01-02T03:04:05Z",` +
	`"labels":{"tier":"front","app":"web"},"annotations":{"a.b/c":"yes","kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Pod\"}","other":"{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}"},` +
	`"managedFields":[{"manager":"x"}],"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"u0","controller":true}]},` +
	`"spec":{"volumes":[{"name":"a","configMap":{"name":"cm","optional":true}},{"name":"b"},{"name":"c","configMap":{"name":"cm2"}}],` +
	`"containers":[{"env":[{"name":"X"},{"valueFrom":{"secretKeyRef":{"name":"s"}}}]},{"env":[{"valueFrom":{"secretKeyRef":{"name":"s2"}}}]}],"replicas":3,"nothing":null},"status":{}}`

func TestOnePassFindsEverything(t *testing.T) {
	p := compile(t, topo.GroupKind{Kind: "Pod"},
		Group{Path: "spec.volumes[*].configMap", Fields: []string{"name", "optional"}},
		Group{Path: "spec.containers[*].env[*].valueFrom.secretKeyRef", Fields: []string{"name"}},
		Group{Path: "metadata.annotations['a.b/c']", Fields: []string{""}},
		Group{Path: "spec", Fields: []string{"containers"}, Raw: true},
		Group{Path: "", Fields: []string{"status", "spec.replicas", "spec.nothing", "spec.volumes", "absent"}},
	)
	o, err := p.Read([]byte(podJSON), true)
	if err != nil {
		t.Fatal(err)
	}
	text := string(o.Text)
	o.Text = nil
	want := Object{
		APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "u1", ResourceVersion: "7", Created: 1767323045,
		Labels: []topo.Pair{{Key: "app", Value: "web"}, {Key: "tier", Value: "front"}},
		Owners: []topo.Owner{{Group: "apps", Kind: "ReplicaSet", Name: "web", UID: "u0", Controller: true}},
		Matches: []Match{
			{Group: 4, At: topo.At{}, Values: []string{"{}", "3", "", "{}", ""}},
			{Group: 2, At: topo.At{}, Values: []string{"yes"}},
			{Group: 3, At: topo.At{}, Values: []string{`[{"env":[{"name":"X"},{"valueFrom":{"secretKeyRef":{"name":"s"}}}]},{"env":[{"valueFrom":{"secretKeyRef":{"name":"s2"}}}]}]`}},
			{Group: 0, At: topo.At{0}, Values: []string{"cm", "true"}},
			{Group: 0, At: topo.At{2}, Values: []string{"cm2", ""}},
			{Group: 1, At: topo.At{0, 1}, Values: []string{"s"}},
			{Group: 1, At: topo.At{1, 0}, Values: []string{"s2"}},
		},
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
	for _, gone := range []string{"managedFields", "resourceVersion", "last-applied", `"other"`} {
		if strings.Contains(text, gone) {
			t.Errorf("the text still has %s: %s", gone, text)
		}
	}
	if !json.Valid([]byte(text)) || !strings.Contains(text, `"a.b/c":"yes"`) || !strings.Contains(text, `"nothing":null`) {
		t.Errorf("the text is not what is left: %s", text)
	}
}

func TestTextIsTheSameHoweverItIsWritten(t *testing.T) {
	p := compile(t, topo.GroupKind{Kind: "Pod"})
	var tree any
	if err := json.Unmarshal([]byte(podJSON), &tree); err != nil {
		t.Fatal(err)
	}
	compact, _ := json.Marshal(tree)
	spaced, _ := json.MarshalIndent(tree, "", "  ")
	a, err := p.Read(compact, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Read(spaced, true)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Text) != string(b.Text) {
		t.Errorf("two texts of one object:\n%s\n%s", a.Text, b.Text)
	}
}

func TestSecretsKeepTheirKeysOnly(t *testing.T) {
	p := compile(t, topo.GroupKind{Kind: "Secret"}, Group{Path: "data", Fields: []string{"password"}}, Group{Path: "metadata.annotations", Fields: []string{"last", "list"}}, Group{Path: "", Fields: []string{"data", "type"}, Raw: false})
	raw := `{"kind":"Secret","metadata":{"name":"db","annotations":{"last":"{\"data\":{\"password\":\"aHVzaA==\"}}","list":"[\"aHVzaA==\"]","note":"kept"}},` +
		`"type":"Opaque","data":{"password":"aHVzaA=="},"stringData":{"plain":"hush"}}`
	o, err := p.Read([]byte(raw), true)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := json.Marshal(o)
	for _, secret := range []string{"aHVzaA", "hush"} {
		if strings.Contains(string(o.Text), secret) || strings.Contains(string(all), secret) {
			t.Errorf("a value got out: %s %s", o.Text, all)
		}
	}
	if !strings.Contains(string(o.Text), `"data":{"password":null}`) || !strings.Contains(string(o.Text), `"note":"kept"`) {
		t.Errorf("the text lost more than values: %s", o.Text)
	}
	if _, err := Compile(topo.GroupKind{Kind: "Secret"}, []Group{{Path: "", Fields: []string{""}, Raw: true}}); err == nil {
		t.Error("a Secret may be read as a whole")
	}
}

func TestHeartbeatsAreNotInTheText(t *testing.T) {
	cases := map[topo.GroupKind]string{
		{Kind: "Node"}: `{"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":"BEAT"}]}}`,
		{Group: "coordination.k8s.io", Kind: "Lease"}: `{"spec":{"holderIdentity":"n1","renewTime":"BEAT"}}`,
		{Kind: "Endpoints"}:                           `{"metadata":{"annotations":{"control-plane.alpha.kubernetes.io/leader":"BEAT"}}}`,
	}
	for kind, raw := range cases {
		o, err := compile(t, kind).Read([]byte(raw), true)
		if err != nil || strings.Contains(string(o.Text), "BEAT") || !json.Valid(o.Text) {
			t.Errorf("%s: %s, %v", kind, o.Text, err)
		}
	}
}

func TestWhatNoStoreCanHold(t *testing.T) {
	p := compile(t, topo.GroupKind{Kind: "Pod"}, Group{Path: "", Fields: []string{"a", "b"}})
	o, err := p.Read([]byte("{\"a\":\"x\\u0000y\",\"b\":\"\xff\"}"), false)
	if err != nil || o.Matches[0].Values[0] != "x\uFFFDy" || o.Matches[0].Values[1] != "\uFFFD" {
		t.Errorf("got %+v, %v", o.Matches, err)
	}
}

func TestWrongPaths(t *testing.T) {
	for path, group := range map[string]Group{
		"four lists":      {Path: "a[*].b[*].c[*].d[*]", Fields: []string{"d"}},
		"list in a field": {Path: "a", Fields: []string{"b[*].c"}},
		"empty name":      {Path: "a..b", Fields: []string{"c"}},
		"open bracket":    {Path: "a['b", Fields: []string{"c"}},
	} {
		if _, err := Compile(topo.GroupKind{}, []Group{group}); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(podJSON))
	f.Add([]byte(`{"metadata":{"labels":[1]},"spec":3,"data":null}`))
	groups := []Group{{Path: "spec.volumes[*].configMap", Fields: []string{"name"}}, {Path: "", Fields: []string{"status"}, Raw: true}, {Path: "spec.a[*].b[*]", Fields: []string{"", "c"}}}
	var plans []*Plan
	for _, kind := range []string{"Pod", "Secret", "Node"} {
		plans = append(plans, compile(f, topo.GroupKind{Kind: kind}, groups...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, p := range plans {
			o, err := p.Read(raw, true)
			valid := json.Valid(raw)
			if valid && err != nil && !strings.Contains(err.Error(), "exceeded max depth") {
				t.Fatalf("valid JSON is refused: %v", err)
			}
			if err == nil && valid && !json.Valid(o.Text) {
				t.Fatalf("the text is no JSON: %q", o.Text)
			}
		}
	})
}

func BenchmarkReadPod(b *testing.B) {
	p := compile(b, topo.GroupKind{Kind: "Pod"}, Group{Path: "spec.volumes[*].configMap", Fields: []string{"name", "optional"}}, Group{Path: "spec.containers[*].env[*].valueFrom.secretKeyRef", Fields: []string{"name"}})
	for _, text := range []bool{false, true} {
		b.Run(map[bool]string{false: "record", true: "text"}[text], func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(podJSON)))
			for b.Loop() {
				if _, err := p.Read([]byte(podJSON), text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
