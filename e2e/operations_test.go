package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Every operation of the product's interface, on a real cluster, through hub, tunnel and agent.
func TestOperations(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")}, "--log-level", "info")
	m := r.join(t, world.eu, operator(t, world.eu), func(o *stack.AgentOptions) { o.Args = []string{"--access", "operate"} })
	r.live(t, m)
	o := &operations{rig: r, member: m, tag: strings.ToLower(tag("ops"))}
	o.ns, o.node = o.tag, o.tag+"-node"
	o.make(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"documents that can't be read", o.unreadable}, {"apply", o.apply}, {"conflicts", o.conflicts}, {"a dry run of apply", o.applyDry}, {"kinds and their objects", o.customKind},
		{"names", o.names}, {"one object", o.object}, {"preconditions", o.preconditions}, {"what is refused", o.refused}, {"scale", o.scale}, {"rollouts", o.rollouts},
		{"triggered jobs", o.trigger}, {"impact", o.impact}, {"drains", o.drain}, {"who may", o.rights}, {"a Secret's diff", o.secretDiff}, {"on record", o.recorded}, {"not connected", o.offline},
	} {
		t.Run(step.name, step.run)
	}
}

// operator writes a kubeconfig of the account that may do everything.
func operator(t *testing.T, c *cluster) string {
	t.Helper()
	text, err := c.ServiceAccountKubeconfig(t.Context(), "kubilitics", "operator")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "operator.kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// operations is a run of TestOperations.
type operations struct {
	*rig
	member        *member
	tag, ns, node string
}

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t *testing.T, out any) {
	t.Helper()
	if err := json.Unmarshal(a.body, out); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

const asYAML, asJSON = "application/yaml", "application/json"

// ask sends a request about the cluster.
func (o *operations) ask(t *testing.T, method, path, contentType, body string, headers ...string) answer {
	t.Helper()
	return o.as(t, o.hub.Token, method, path, contentType, body, headers...)
}

func (o *operations) as(t *testing.T, token, method, path, contentType, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.hub.URL+"/api/v1/clusters/"+o.member.id+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, text}
}

// must is ask with the status that it must have.
func (o *operations) must(t *testing.T, status int, method, path, contentType, body string, headers ...string) answer {
	t.Helper()
	a := o.ask(t, method, path, contentType, body, headers...)
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

func (o *operations) says(t *testing.T, a answer, words ...string) {
	t.Helper()
	for _, w := range words {
		if !bytes.Contains(a.body, []byte(w)) {
			t.Errorf("%q isn't in %s", w, a.body)
		}
	}
}

// written is the answer to a write.
type written struct {
	Outcome, DryRun string
	Warnings        []string
	Object          struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec, Data        map[string]any
	}
	Impact *touched
}

type touched struct {
	Objects []struct {
		Object                     stack.Resource
		Action, Presence, Sentence string
		Ties                       []struct{ Kind, Name, Type string }
		Loss                       *struct {
			Affected []struct{ Kind, Name, Severity string }
			Hits     []struct{ Kind, Sentence string }
		}
		Pods []struct {
			Namespace, Name, Action, Reason string
			Owner                           *stack.Resource
			Hits                            []struct{ Kind, Sentence string }
		}
	}
}

// applied is the answer to documents.
type applied struct {
	Summary   struct{ Created, Configured, Unchanged, Failed, Unchecked int }
	Documents []struct {
		Document, Line                          int
		Kind, Name, Outcome, Code, Reason, Diff string
		Conflicts                               []struct{ Manager, Field string }
		Warnings                                []string
	}
	Impact *touched
}

func (o *operations) applied(t *testing.T, query, text string) (out applied) {
	t.Helper()
	o.must(t, 200, http.MethodPost, "/apply"+query, asYAML, o.fill(text)).into(t, &out)
	return out
}

// fill puts the names of this run into a text.
func (o *operations) fill(text string) string {
	return strings.NewReplacer("NS", o.ns, "NODE", o.node, "GROUP", o.tag+".example.com").Replace(text)
}

func (o *operations) make(t *testing.T) {
	t.Helper()
	nodes := world.eu.client.CoreV1().Nodes()
	like, err := nodes.Get(t.Context(), "eu-node-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	like.ObjectMeta = metav1.ObjectMeta{Name: o.node, Labels: map[string]string{"only": o.node, corev1.LabelHostname: o.node}, Annotations: like.Annotations}
	like.Spec = corev1.NodeSpec{Taints: []corev1.Taint{{Key: "only", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}}
	if _, err := nodes.Create(t.Context(), like, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nodes.Delete(context.WithoutCancel(t.Context()), o.node, metav1.DeleteOptions{}) })
	out := o.applied(t, "", operationsWorld)
	for _, d := range out.Documents {
		if d.Outcome != "created" {
			t.Errorf("%+v", d)
		}
	}
	if out.Summary.Created != len(out.Documents) || len(out.Documents) != 9 || out.Documents[0].Kind != "Deployment" || out.Documents[1].Kind != "Namespace" {
		t.Fatalf("got %+v", out)
	}
}

// operationsWorld is a node that only its own Pods come to, and something to operate on. What others need stands behind them.
const operationsWorld = `# a preface says nothing
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: &pod
      nodeSelector: {only: NODE}
      tolerations: [{key: only, operator: Exists}]
      containers: [{name: web, image: "registry.example/web:1", envFrom: [{configMapRef: {name: settings}}]}]
--- # a comment beside the marker
apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {color: blue}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded, namespace: NS}
spec: {minAvailable: 1, selector: {matchLabels: {app: guarded}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: guarded, namespace: NS}
spec:
  replicas: 1
  serviceName: guarded
  selector: {matchLabels: {app: guarded}}
  template:
    metadata: {labels: {app: guarded}}
    spec:
      nodeSelector: {only: NODE}
      tolerations: [{key: only, operator: Exists}]
      containers: [{name: main, image: "registry.example/guarded:1"}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemon, namespace: NS}
spec:
  selector: {matchLabels: {app: daemon}}
  template:
    metadata: {labels: {app: daemon}}
    spec:
      nodeSelector: {only: NODE}
      tolerations: [{key: only, operator: Exists}]
      containers: [{name: main, image: "registry.example/daemon:1"}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: NS}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    metadata: {labels: {app: nightly}, annotations: {note: kept}}
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: "registry.example/job:1"}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: NS, labels: {app: bare}}
spec:
  nodeSelector: {only: NODE}
  tolerations: [{key: only, operator: Exists}]
  containers: [{name: main, image: "registry.example/bare:1"}]
  volumes: [{name: scratch, emptyDir: {}}]
`

func (o *operations) unreadable(t *testing.T) {
	for text, words := range map[string][]string{
		"a: 1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\nb: [\n":  {"document 1", "document 3", "line 7", "nothing was applied"},
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: b\n  a: c\n": {"line 6", "already"},
		"# nothing\n---\n": {"no document"},
	} {
		o.says(t, o.must(t, 400, http.MethodPost, "/apply", asYAML, text), words...)
	}
	o.says(t, o.must(t, 400, http.MethodPost, "/apply", asJSON, `{"apiVersion":"v1"`), "document 1")
	o.says(t, o.must(t, 400, http.MethodPost, "/apply", "text/plain", "x"), "Content-Type")
}

func (o *operations) apply(t *testing.T) {
	again := o.applied(t, "", operationsWorld)
	for _, d := range again.Documents {
		if d.Outcome != "unchanged" {
			t.Errorf("applied again: %+v", d)
		}
	}
	change := `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {color: red}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: nowhere-at-all}}
---
{apiVersion: example.com/v1, kind: Nothing, metadata: {name: x}}
---
{apiVersion: v1, kind: Pod, metadata: {name: odd, namespace: NS}, spec: {containers: [{name: a, image: b, imagen: c}]}}
`
	out := o.applied(t, "?diff=true", change)
	if out.Summary.Configured != 1 || out.Summary.Failed != 3 {
		t.Errorf("got %+v", out)
	}
	if d := out.Documents[0].Diff; !strings.Contains(d, "-  color: blue\n+  color: red\n") || strings.Contains(d, "managedFields") {
		t.Errorf("diff: %s", d)
	}
	if d := out.Documents[1]; d.Code != "NOT_FOUND" || !strings.Contains(d.Reason, `namespaces "nowhere-at-all" not found`) {
		t.Errorf("got %+v", d)
	}
	if d := out.Documents[2]; d.Code != "NOT_FOUND" || !strings.Contains(d.Reason, "Nothing") || d.Document != 3 || d.Line != 5 {
		t.Errorf("got %+v", d)
	}
	if d := out.Documents[3]; d.Code != "BAD_REQUEST" || !strings.Contains(d.Reason, "imagen") {
		t.Errorf("got %+v", d)
	}
	warned := o.applied(t, "?dryRun=All", "{apiVersion: v1, kind: Pod, metadata: {name: old, namespace: NS}, spec: {nodeSelector: {beta.kubernetes.io/arch: a}, containers: [{name: a, image: b}]}}")
	if d := warned.Documents[0]; d.Outcome != "created" || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "deprecated") {
		t.Errorf("got %+v", d)
	}
}

func (o *operations) conflicts(t *testing.T) {
	if _, err := world.eu.Kubectl(t.Context(), nil, "-n", o.ns, "patch", "configmap", "settings", "--field-manager", "somebody", "--type", "merge", "-p", `{"data":{"color":"green"}}`); err != nil {
		t.Fatal(err)
	}
	text := `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {color: blue}}`
	out := o.applied(t, "", text)
	if d := out.Documents[0]; d.Outcome != "failed" || d.Code != "CONFLICT" || len(d.Conflicts) != 1 || d.Conflicts[0].Manager != "somebody" || d.Conflicts[0].Field != ".data.color" {
		t.Errorf("got %+v", d)
	}
	if out := o.applied(t, "?force=true", text); out.Summary.Configured != 1 {
		t.Errorf("forced: %+v", out)
	}
}

func (o *operations) applyDry(t *testing.T) {
	out := o.applied(t, "?dryRun=All&diff=true", `
{apiVersion: v1, kind: Namespace, metadata: {name: NS-never}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: NS-never}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {color: yellow}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS}, data: {color: blue}}
`)
	var outcomes []string
	for _, d := range out.Documents {
		outcomes = append(outcomes, d.Outcome)
	}
	if !slices.Equal(outcomes, []string{"created", "unchecked", "configured", "unchanged"}) || !strings.Contains(out.Documents[2].Diff, "+  color: yellow") {
		t.Errorf("got %+v", out)
	}
	if _, err := world.eu.Kubectl(t.Context(), nil, "get", "namespace", o.ns+"-never"); err == nil {
		t.Error("a dry run made a namespace")
	}
}

func (o *operations) customKind(t *testing.T) {
	out := o.applied(t, "?namespace="+o.ns, `
{apiVersion: GROUP/v1, kind: Boat, metadata: {name: first}, spec: {oars: 2}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {oars: {type: integer}}}}}}
    subresources: {scale: {specReplicasPath: .spec.oars, statusReplicasPath: .status.oars}}
`)
	if out.Summary.Created != 2 {
		t.Fatalf("got %+v", out)
	}
	for _, name := range []string{"boats", "boat", "BOAT", "bt", "Boat"} {
		o.must(t, 200, http.MethodGet, "/live/-/-/"+name+"/"+o.ns+"/first", "", "")
	}
	var s struct{ Before, Replicas int }
	o.must(t, 200, http.MethodPost, "/resources/-/-/bt/"+o.ns+"/first/scale", asJSON, `{"replicas":5}`).into(t, &s)
	if s.Before != 2 || s.Replicas != 5 {
		t.Errorf("a custom kind scaled: %+v", s)
	}
	o.must(t, 200, http.MethodDelete, "/resources/apiextensions.k8s.io/v1/crd/-/boats."+o.tag+".example.com", "", "")
}

func (o *operations) names(t *testing.T) {
	for _, path := range []string{"apps/v1/deployments", "apps/-/deploy", "-/-/Deployment", "-/v1/DEPLOYMENTS"} {
		o.must(t, 200, http.MethodGet, "/live/"+path+"/"+o.ns+"/web", "", "")
	}
	for path, status := range map[string]int{"/live/apps/v7/deployments/" + o.ns + "/web": 404, "/live/-/-/nothings/" + o.ns + "/x": 404, "/live/-/-/nodes/" + o.ns + "/x": 400, "/live/-/-/pods/-/x": 400} {
		o.must(t, status, http.MethodGet, path, "", "")
	}
	var kinds struct {
		Items []struct {
			Group, Kind  string
			ShortNames   []string
			Subresources []string
		}
	}
	o.must(t, 200, http.MethodGet, "/live/api-resources", "", "").into(t, &kinds)
	if !slices.ContainsFunc(kinds.Items, func(k struct {
		Group, Kind  string
		ShortNames   []string
		Subresources []string
	}) bool {
		return k.Kind == "Deployment" && slices.Contains(k.ShortNames, "deploy") && slices.Contains(k.Subresources, "scale")
	}) {
		t.Errorf("got %+v", kinds)
	}
	var list struct {
		Items    []any
		Metadata struct{ Continue string }
	}
	o.must(t, 200, http.MethodGet, "/live/-/-/cm?limit=1&namespace="+o.ns, "", "").into(t, &list)
	if len(list.Items) != 1 || list.Metadata.Continue == "" {
		t.Errorf("got %+v", list)
	}
}

func (o *operations) object(t *testing.T) {
	at := "/resources/-/v1/configmaps"
	var w written
	a := o.must(t, 201, http.MethodPost, at, asYAML, o.fill("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: NS}\ndata: {number: '1'}\n"))
	if a.into(t, &w); w.Outcome != "created" || a.header.Get("ETag") != `"`+w.Object.ResourceVersion+`"` {
		t.Errorf("got %+v, %v", w, a.header)
	}
	o.says(t, o.must(t, 409, http.MethodPost, at+"/"+o.ns, asJSON, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}`), "already exists", "CONFLICT")
	o.must(t, 400, http.MethodPost, at+"/"+o.ns, asJSON, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"two"},"dta":{}}`)
	dry := o.must(t, 200, http.MethodPost, at+"/"+o.ns+"?dryRun=All", asJSON, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"two"}}`)
	o.says(t, dry, `"outcome":"created"`, `"dryRun":"All"`)
	o.must(t, 404, http.MethodGet, "/live/-/v1/cm/"+o.ns+"/two", "", "")

	one := at + "/" + o.ns + "/one"
	for kind, patch := range map[string]string{
		"application/merge-patch+json": `{"data":{"merge":"x"}}`, "application/strategic-merge-patch+json": `{"data":{"strategic":"x"}}`,
		"application/json-patch+json":  `[{"op":"add","path":"/data/json","value":"x"}]`,
		"application/apply-patch+yaml": "apiVersion: v1\nkind: ConfigMap\ndata: {apply: x}\n",
	} {
		o.says(t, o.must(t, 200, http.MethodPatch, one, kind, patch), `"outcome":"configured"`)
	}
	o.must(t, 400, http.MethodPatch, one, asJSON, `{}`)
	o.must(t, 200, http.MethodGet, "/live/-/v1/cm/"+o.ns+"/one", "", "").into(t, &w.Object)
	for _, key := range []string{"number", "merge", "strategic", "json", "apply"} {
		if _, ok := w.Object.Data[key]; !ok {
			t.Errorf("%s isn't in %v", key, w.Object.Data)
		}
	}
	o.must(t, 200, http.MethodPut, one, asJSON, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"number":"2"}}`)
	o.says(t, o.must(t, 200, http.MethodDelete, one+"?dryRun=All", "", ""), `"outcome":"deleted"`)
	o.must(t, 409, http.MethodDelete, one+"?uid=not-this", "", "")
	o.must(t, 200, http.MethodDelete, one+"?propagationPolicy=Background", "", "")
	o.says(t, o.must(t, 404, http.MethodDelete, one, "", ""), `configmaps \"one\" not found`)
}

func (o *operations) preconditions(t *testing.T) {
	one := "/resources/-/-/cm/" + o.ns + "/settings"
	old := o.must(t, 200, http.MethodGet, "/live/-/-/cm/"+o.ns+"/settings", "", "").header.Get("ETag")
	o.must(t, 200, http.MethodPatch, one, "application/merge-patch+json", `{"data":{"size":"1"}}`, "If-Match", old)
	for kind, patch := range map[string]string{
		"application/merge-patch+json": `{"data":{"size":"2"}}`, "application/strategic-merge-patch+json": `{"data":{"size":"2"}}`,
		"application/json-patch+json":  `[{"op":"add","path":"/data/size","value":"2"}]`,
		"application/apply-patch+yaml": "apiVersion: v1\nkind: ConfigMap\ndata: {other: x}\n",
	} {
		o.says(t, o.must(t, 409, http.MethodPatch, one, kind, patch, "If-Match", old), "CONFLICT")
	}
	o.must(t, 409, http.MethodPut, one, asYAML, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n", "If-Match", old)
	o.must(t, 409, http.MethodDelete, one, "", "", "If-Match", old)
	o.must(t, 400, http.MethodDelete, one, "", "", "If-Match", `W/"x"`)
	key := []string{"Idempotency-Key", o.tag}
	text := o.fill(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"once","namespace":"NS"},"data":{"long":"` + strings.Repeat("x", 100<<10) + `"}}`)
	first, second := o.must(t, 201, http.MethodPost, "/resources/-/-/cm", asJSON, text, key...), o.must(t, 201, http.MethodPost, "/resources/-/-/cm", asJSON, text, key...)
	if second.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(first.body, second.body) {
		t.Errorf("repeated: %v", second.header)
	}
}

func (o *operations) refused(t *testing.T) {
	o.says(t, o.must(t, 400, http.MethodPost, "/resources/-/-/cm/"+o.ns+"/settings/scale", asJSON, `{"replicas":1}`), "can't be scaled")
	o.says(t, o.must(t, 400, http.MethodPost, "/resources/-/-/cm/"+o.ns+"/settings/rollout/restart", "", ""), "Deployments, StatefulSets, DaemonSets")
	o.must(t, 400, http.MethodPost, "/resources/apps/-/sts/"+o.ns+"/guarded/rollout/pause", "", "")
	a := o.must(t, 400, http.MethodPost, "/resources/apps/-/deploy/"+o.ns, asJSON, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"bad"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"a","image":"b"}]}}}}`)
	o.says(t, a, "spec.template.metadata.labels", "requestId")
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("a refusal is %s", kind)
	}
}

func (o *operations) rights(t *testing.T) {
	reader := o.token(t, `{"verbs":["get","list"],"clusters":["*"],"namespaces":["`+o.ns+`"]}`)
	writer := o.token(t, `{"verbs":["get","list","patch","create"],"clusters":["*"],"namespaces":["`+o.ns+`"]}`)
	nobody := o.token(t, `{"verbs":["get"],"clusters":["`+world.eu.reference.id+`"],"namespaces":["*"]}`)
	scale := "/resources/-/-/deploy/" + o.ns + "/web/scale"
	for _, q := range []string{"", "?dryRun=All", "?dryRun=impact"} {
		if a := o.as(t, reader, http.MethodPost, scale+q, asJSON, `{"replicas":2}`); a.status != 403 {
			t.Errorf("one who may read scaled%s: %d %s", q, a.status, a.body)
		}
		if a := o.as(t, nobody, http.MethodPost, scale+q, asJSON, `{"replicas":2}`); a.status != 404 {
			t.Errorf("one who may see nothing: %s %d %s", q, a.status, a.body)
		}
		if a := o.as(t, writer, http.MethodPost, scale+q, asJSON, `{"replicas":2}`); a.status != 200 {
			t.Errorf("one who may write: %s %d %s", q, a.status, a.body)
		}
		for _, name := range []string{"secrets", "SECRETS", "Secret"} {
			if a := o.as(t, writer, http.MethodPatch, "/resources/-/-/"+name+"/"+o.ns+"/x"+q, "application/merge-patch+json", `{}`); a.status != 403 {
				t.Errorf("a Secret by the name %q%s, without the right to any: %d %s", name, q, a.status, a.body)
			}
		}
		if a := o.as(t, writer, http.MethodPost, "/nodes/"+o.node+"/drain"+q, asJSON, `{}`); a.status != 403 {
			t.Errorf("a node drained%s by who may write in one namespace: %d %s", q, a.status, a.body)
		}
	}
}

func (o *operations) token(t *testing.T, binding string) string {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal([]byte(binding), &b); err != nil {
		t.Fatal(err)
	}
	var out struct{ Secret string }
	if err := o.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": tag("ops"), "bindings": []any{b}}, &out); err != nil {
		t.Fatal(err)
	}
	return out.Secret
}

func (o *operations) secretDiff(t *testing.T) {
	secret := `{apiVersion: v1, kind: Secret, metadata: {name: held, namespace: NS, annotations: {copy: "it is hush-VALUE"}}, stringData: {a: hush-VALUE, b: stays-put}}`
	o.applied(t, "", strings.ReplaceAll(secret, "VALUE", "before"))
	a := o.must(t, 200, http.MethodPost, "/apply?diff=true", asYAML, o.fill(strings.ReplaceAll(secret, "VALUE", "after")))
	o.says(t, a, "(before)", "(after)")
	for _, w := range []string{"hush", "aHVzaC", "stays-put", "c3RheXM"} {
		if bytes.Contains(a.body, []byte(w)) {
			t.Errorf("the diff of a Secret holds %q: %s", w, a.body)
		}
	}
}

// What operations do is on record request by request, under their names, and nothing that a Secret holds.
func (o *operations) recorded(t *testing.T) {
	type record struct {
		Via, Verb, Resource, Namespace, Name, Outcome, Request string
		DryRun                                                 bool
	}
	read := func(query string) (out []record) {
		t.Helper()
		return get[page[record]](t, &o.hub.Client, "/api/v1/audit?limit=1000&writes=true&cluster="+o.member.id+query).Items
	}
	for via, want := range map[string][2]string{
		"scale": {"patch", "deployments/scale"}, "restart": {"patch", "deployments"}, "undo": {"patch", "statefulsets"}, "cordon": {"patch", "nodes"}, "drain": {"create", "pods/eviction"},
		"trigger": {"create", "jobs"}, "apply": {"patch", "configmaps"}, "create": {"create", "configmaps"}, "delete": {"delete", "poddisruptionbudgets"},
	} {
		list := read("&via=" + via)
		if !slices.ContainsFunc(list, func(r record) bool { return r.Verb == want[0] && r.Resource == want[1] && r.Outcome == "done" }) {
			t.Errorf("%s: no %v among %d: %+v", via, want, len(list), list)
		}
	}
	// One record for each: those that ask nothing of the cluster have their own, those that do have none beside it.
	for _, request := range read("&via=api") {
		if same := read("&request=" + request.Request); len(same) != 1 {
			t.Errorf("%+v", same)
		}
	}
	if refused := read("&via=api&outcome=failed"); len(refused) == 0 {
		t.Error("no operation with wrong input is on record")
	}
	if !slices.ContainsFunc(read("&via=drain"), func(r record) bool { return r.DryRun && r.Resource == "pods/eviction" }) {
		t.Error("a dry run of a drain isn't on record as one")
	}
	whole, err := o.hub.Text(t.Context(), "/api/v1/audit/export?format=ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"hush", "aHVzaC", "stays-put"} {
		if strings.Contains(whole, value) {
			t.Errorf("the record holds %q", value)
		}
	}
}

func (o *operations) offline(t *testing.T) {
	if err := o.member.agent.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub knows that the agent is gone", 20*time.Second, func() error {
		if a := o.ask(t, http.MethodGet, "/live/-/-/cm/"+o.ns+"/settings", "", ""); a.status != 503 || !bytes.Contains(a.body, []byte("last heard")) || !bytes.Contains(a.body, []byte("UNAVAILABLE")) {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	o.must(t, 503, http.MethodPost, "/apply", asYAML, operationsWorld)
	o.must(t, 503, http.MethodPost, "/nodes/"+o.node+"/drain", asJSON, "{}")
	o.must(t, 200, http.MethodDelete, "/resources/-/-/cm/"+o.ns+"/settings?dryRun=impact", "", "")
}
