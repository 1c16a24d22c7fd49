package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// load is what a cluster is filled with: objects of built-in kinds and of kinds defined for the purpose, of the sizes
// that are common, in a few namespaces. Nothing of it makes a controller work: workloads have no replicas, and pods are
// made as such, with a status, and on no node: the controllers would remove them from one that they don't know.
type load struct {
	Kinds   int // built-in ones and defined ones together
	Objects int // over all kinds
	Pods    int // besides
}

// writers is how many objects are created at once.
const writers = 32

// fill creates the load. It is idempotent: what is there stays, and of a cluster that has been filled nothing is asked.
func fill(ctx context.Context, cfg *rest.Config, l load) error {
	c, err := newCreator(cfg)
	if err != nil {
		return err
	}
	defer c.close()
	if c.rest.Get().AbsPath("/api/v1/namespaces/default/configmaps/filled").Do(ctx).Error() == nil {
		return nil
	}
	for n := range namespaces {
		if err := c.create(ctx, "/api/v1/namespaces", fmt.Sprintf(`{"metadata":{"name":%q}}`, namespace(n))); err != nil {
			return err
		}
	}
	recipes, err := c.kinds(ctx, l.Kinds)
	if err != nil {
		return err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range l.Objects {
		r := recipes[i%len(recipes)]
		group.Go(func() error { return c.one(within, r, i) })
	}
	for i := range l.Pods {
		group.Go(func() error { return c.pod(within, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.create(ctx, "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"filled"}}`)
}

const namespaces = 10

func namespace(i int) string { return fmt.Sprintf("load-%d", i%namespaces) }

// recipe makes objects of one kind: its path, with NS for the namespace, and the object's fields besides metadata.
type recipe struct{ path, fields string }

const podTemplate = `{"metadata":{"labels":{"app":"APP"}},"spec":` + podSpec + `}`

const podSpec = `{"serviceAccountName":"default","automountServiceAccountToken":false,"schedulerName":"nobody",
"volumes":[{"name":"config","configMap":{"name":"APP-config"}},{"name":"data","emptyDir":{}},{"name":"tls","secret":{"secretName":"APP-tls","optional":true}}],
"containers":[{"name":"main","image":"registry.example.com/shop/APP:1.4.2","ports":[{"containerPort":8080,"name":"http"}],
"env":[{"name":"LOG_LEVEL","value":"info"},{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"APP-secret","key":"password","optional":true}}},{"name":"MY_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],
"envFrom":[{"configMapRef":{"name":"APP-env","optional":true}}],
"resources":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"memory":"128Mi"}},
"readinessProbe":{"httpGet":{"path":"/ready","port":"http"}},"livenessProbe":{"httpGet":{"path":"/live","port":"http"}},
"volumeMounts":[{"name":"config","mountPath":"/etc/app"},{"name":"data","mountPath":"/data"}]}]}`

var builtIn = []recipe{
	{"/api/v1/namespaces/NS/configmaps", `"data":{"app.yaml":"logging:\n  level: info\nserver:\n  port: 8080\n","mode":"production"}`},
	{"/api/v1/namespaces/NS/secrets", `"stringData":{"password":"not-to-be-seen","user":"app"}`},
	{"/api/v1/namespaces/NS/services", `"spec":{"selector":{"app":"APP"},"ports":[{"port":80,"targetPort":8080}]}`},
	{"/api/v1/namespaces/NS/serviceaccounts", `"automountServiceAccountToken":false`},
	{"/api/v1/namespaces/NS/persistentvolumeclaims", `"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"absent","resources":{"requests":{"storage":"1Gi"}}}`},
	{"/api/v1/namespaces/NS/limitranges", `"spec":{"limits":[{"type":"Container","default":{"memory":"512Mi"}}]}`},
	{"/api/v1/namespaces/NS/podtemplates", `"template":` + podTemplate},
	{"/api/v1/namespaces/NS/replicationcontrollers", `"spec":{"replicas":0,"selector":{"app":"APP"},"template":` + podTemplate + `}`},
	{"/api/v1/persistentvolumes", `"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"storageClassName":"absent","hostPath":{"path":"/data"}}`},
	{"/apis/apps/v1/namespaces/NS/deployments", `"spec":{"replicas":0,"selector":{"matchLabels":{"app":"APP"}},"template":` + podTemplate + `}`},
	{"/apis/apps/v1/namespaces/NS/replicasets", `"spec":{"replicas":0,"selector":{"matchLabels":{"app":"APP"}},"template":` + podTemplate + `}`},
	{"/apis/apps/v1/namespaces/NS/statefulsets", `"spec":{"replicas":0,"serviceName":"APP","selector":{"matchLabels":{"app":"APP"}},"template":` + podTemplate + `}`},
	{"/apis/batch/v1/namespaces/NS/cronjobs", `"spec":{"suspend":true,"schedule":"0 3 * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/job:1"}]}}}}}`},
	{"/apis/batch/v1/namespaces/NS/jobs", `"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/job:1"}]}}}`},
	{"/apis/networking.k8s.io/v1/namespaces/NS/ingresses", `"spec":{"rules":[{"host":"APP.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"APP","port":{"number":80}}}}]}}]}`},
	{"/apis/networking.k8s.io/v1/namespaces/NS/networkpolicies", `"spec":{"podSelector":{"matchLabels":{"app":"APP"}},"ingress":[{"from":[{"podSelector":{"matchLabels":{"tier":"front"}}}]}]}`},
	{"/apis/networking.k8s.io/v1/ingressclasses", `"spec":{"controller":"example.com/ingress"}`},
	{"/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles", `"rules":[{"apiGroups":[""],"resources":["pods","configmaps"],"verbs":["get","list","watch"]}]`},
	{"/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings", `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"APP"},"subjects":[{"kind":"ServiceAccount","name":"APP"}]`},
	{"/apis/rbac.authorization.k8s.io/v1/clusterroles", `"rules":[{"apiGroups":["example.com"],"resources":["*"],"verbs":["get"]}]`},
	{"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"APP"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"APP"}]`},
	{"/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers", `"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"absent"}}`},
	{"/apis/policy/v1/namespaces/NS/poddisruptionbudgets", `"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"APP"}}}`},
	{"/apis/storage.k8s.io/v1/storageclasses", `"provisioner":"example.com/none"`},
	{"/apis/storage.k8s.io/v1/csidrivers", `"spec":{"attachRequired":false}`},
	{"/apis/scheduling.k8s.io/v1/priorityclasses", `"value":1000`},
	{"/apis/node.k8s.io/v1/runtimeclasses", `"handler":"absent"`},
	{"/apis/coordination.k8s.io/v1/namespaces/NS/leases", `"spec":{"holderIdentity":"APP"}`},
	{"/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices", `"addressType":"IPv4","ports":[{"port":8080}],"endpoints":[{"addresses":["10.1.2.3"]},{"addresses":["10.1.2.4"]}]`},
}

// custom are the fields of an object of a kind defined here.
const custom = `"spec":{"size":3,"targetRef":{"kind":"Service","name":"APP"},"settings":{"level":"info","retention":"7d"}},"status":{"conditions":[{"type":"Ready","status":"True","reason":"AllGood","lastTransitionTime":"2026-01-01T00:00:00Z"}]}`

const crdDoc = `{"metadata":{"name":"PLURAL.load.kubilitics.dev"},"spec":{"group":"load.kubilitics.dev","scope":"Namespaced",
"names":{"plural":"PLURAL","singular":"SINGULAR","kind":"KIND"},"versions":[{"name":"v1","served":true,"storage":true,
"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

// creator posts objects.
type creator struct {
	rest *rest.RESTClient
	made atomic.Int64
}

func newCreator(cfg *rest.Config) (*creator, error) {
	own := rest.CopyConfig(cfg)
	own.QPS = -1
	own.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	own.GroupVersion = &schema.GroupVersion{}
	c, err := rest.UnversionedRESTClientFor(own)
	return &creator{rest: c}, err
}

func (c *creator) close() { c.rest.Client.CloseIdleConnections() }

func (c *creator) create(ctx context.Context, path, doc string) error {
	err := c.rest.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body([]byte(doc)).Do(ctx).Error()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create in %s: %w", path, err)
	}
	c.made.Add(1)
	return nil
}

// kinds gives recipes of n kinds: built-in ones, and for the rest definitions that are created and served.
func (c *creator) kinds(ctx context.Context, n int) ([]recipe, error) {
	out := builtIn[:min(n, len(builtIn))]
	for i := len(out); i < n; i++ {
		plural := fmt.Sprintf("widget%dx", i)
		names := strings.NewReplacer("PLURAL", plural, "SINGULAR", plural[:len(plural)-1], "KIND", fmt.Sprintf("Widget%d", i))
		if err := c.create(ctx, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", names.Replace(crdDoc)); err != nil {
			return nil, err
		}
		out = append(out, recipe{"/apis/load.kubilitics.dev/v1/namespaces/NS/" + plural, custom})
	}
	return out, c.served(ctx, out[len(out)-1])
}

// served waits until the last kind can be listed.
func (c *creator) served(ctx context.Context, last recipe) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.rest.Get().AbsPath(strings.ReplaceAll(last.path, "NS", namespace(0))).Do(ctx).Error()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s isn't served: %w", last.path, err)
		case <-tick.C:
		}
	}
}

func (c *creator) one(ctx context.Context, r recipe, i int) error {
	app := fmt.Sprintf("app-%d", i)
	doc := fmt.Sprintf(`{%s,%s}`, metadata(app, r, i), strings.ReplaceAll(r.fields, "APP", app))
	path := strings.ReplaceAll(r.path, "NS", namespace(i))
	for {
		err := c.create(ctx, path, typed(path, doc))
		if !apierrors.IsNotFound(err) || ctx.Err() != nil { // a kind defined just now may take a moment
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func metadata(app string, r recipe, i int) string {
	ns := ""
	if strings.Contains(r.path, "NS") {
		ns = fmt.Sprintf(`"namespace":%q,`, namespace(i))
	}
	return fmt.Sprintf(`"metadata":{%s"name":%q,"labels":{"app":%q,"app.kubernetes.io/name":%q,"app.kubernetes.io/part-of":"shop","team":"team-%d"},"annotations":{"example.com/owner":"team-%d@example.com"}}`, ns, app, app, app, i%7, i%7)
}

// typed adds what a definition's objects must say of themselves.
func typed(path, doc string) string {
	rest, defined := strings.CutPrefix(path, "/apis/load.kubilitics.dev/v1/namespaces/")
	if !defined {
		return doc
	}
	_, plural, _ := strings.Cut(rest, "/")
	kind := "W" + plural[1:len(plural)-1]
	return fmt.Sprintf(`{"apiVersion":"load.kubilitics.dev/v1","kind":%q,%s`, kind, doc[1:])
}

// pod creates a pod, and gives it the status of one that runs. No workload's selector matches it: those want no pods.
func (c *creator) pod(ctx context.Context, i int) error {
	name, app := fmt.Sprintf("pod-%d", i), fmt.Sprintf("run-%d", i/20)
	meta := strings.Replace(metadata(app, recipe{path: "NS"}, i), fmt.Sprintf(`"name":%q`, app), fmt.Sprintf(`"name":%q`, name), 1)
	path := "/api/v1/namespaces/" + namespace(i) + "/pods"
	if err := c.create(ctx, path, fmt.Sprintf(`{%s,"spec":%s}`, meta, strings.ReplaceAll(podSpec, "APP", app))); err != nil {
		return err
	}
	return c.status(ctx, path+"/"+name, i, 0)
}

// status writes a pod's status: that it runs, with that many restarts.
func (c *creator) status(ctx context.Context, path string, i, restarts int) error {
	now := time.Now().UTC().Format(time.RFC3339)
	condition := func(t string) map[string]any {
		return map[string]any{"type": t, "status": "True", "lastTransitionTime": now}
	}
	doc, err := json.Marshal(map[string]any{"status": map[string]any{
		"phase": "Running", "podIP": fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), "hostIP": "10.0.0.1", "startTime": now,
		"conditions": []any{condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")},
		"containerStatuses": []any{map[string]any{
			"name": "main", "ready": true, "started": true, "restartCount": restarts, "image": "registry.example.com/shop/app:1.4.2",
			"imageID":     "registry.example.com/shop/app@sha256:2bb7a6ef9f4fd1b1e4e3a9b1c0c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9",
			"containerID": fmt.Sprintf("containerd://%064d", i), "state": map[string]any{"running": map[string]any{"startedAt": now}},
		}},
	}})
	if err != nil {
		return err
	}
	return c.rest.Verb(http.MethodPatch).AbsPath(path+"/status").SetHeader("Content-Type", "application/merge-patch+json").Body(doc).Do(ctx).Error()
}

// stir changes the status of pods so many times, in turns, and by several writers.
func stir(ctx context.Context, cfg *rest.Config, pods, changes int) error {
	c, err := newCreator(cfg)
	if err != nil {
		return err
	}
	defer c.close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stirrers)
	for i := range changes {
		pod := i % pods
		path := fmt.Sprintf("/api/v1/namespaces/%s/pods/pod-%d", namespace(pod), pod)
		group.Go(func() error { return c.status(ctx, path, pod, 1+i/pods) })
	}
	return group.Wait()
}

// stirrers is how many pods are changed at once.
const stirrers = 4
