package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// program is one that somebody has written against client-go; it tells what it saw.
type program struct {
	name string
	run  func(context.Context, *rest.Config, string) ([]string, error)
}

var clientPrograms = []program{
	{"protobuf", typedProtobuf}, {"dynamic", dynamicWatch}, {"informer", informed}, {"spdy", spdyExec}, {"table", rawForms},
}

// clients runs programs both ways: what each sees is the same.
func (th *through) clients(t *testing.T) {
	for _, p := range clientPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var saw [2][]string
			for i, w := range th.ways {
				namespace := "client-" + p.name + "-" + w.letter
				th.namespace(t, namespace)
				cfg, err := clientcmd.RESTConfigFromKubeConfig(w.kubeconfig)
				if err != nil {
					t.Fatal(err)
				}
				cfg.QPS = -1
				ctx, cancel := stack.Within(t.Context(), time.Minute)
				saw[i], err = p.run(ctx, cfg, namespace)
				cancel()
				if err != nil {
					t.Fatalf("%s: %v after %q", w.letter, err, saw[i])
				}
				for j := range saw[i] {
					saw[i][j] = strings.ReplaceAll(saw[i][j], namespace, "NAMESPACE")
				}
			}
			if len(saw[0]) == 0 || !slices.Equal(saw[0], saw[1]) {
				t.Errorf("directly:\n  %s\nthrough the hub:\n  %s", strings.Join(saw[0], "\n  "), strings.Join(saw[1], "\n  "))
			}
		})
	}
}

// connected lends a program a client, whose connections end with it.
func connected(cfg *rest.Config, use func(*http.Client) error) error {
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	defer utilnet.CloseIdleConnectionsFor(hc.Transport)
	return use(hc)
}

func madeHere(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"made": "here"}}, Data: map[string]string{"a": "b"}}
}

func typedProtobuf(ctx context.Context, cfg *rest.Config, ns string) (saw []string, err error) {
	cfg.ContentType, cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"
	return saw, connected(cfg, func(hc *http.Client) error {
		all, err := kubernetes.NewForConfigAndClient(cfg, hc)
		if err != nil {
			return err
		}
		maps := all.CoreV1().ConfigMaps(ns)
		w, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "made=here"})
		if err != nil {
			return err
		}
		defer w.Stop()
		for _, name := range []string{"one", "two", "three"} {
			if _, err := maps.Create(ctx, madeHere(name), metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		page, err := maps.List(ctx, metav1.ListOptions{Limit: 2, LabelSelector: "made=here"})
		if err != nil {
			return err
		}
		saw = append(saw, fmt.Sprintf("%d on a page, more: %t", len(page.Items), page.Continue != ""))
		stale := page.Items[0]
		changed, err := maps.Patch(ctx, "one", types.StrategicMergePatchType, []byte(`{"data":{"c":"d"}}`), metav1.PatchOptions{})
		if err != nil {
			return err
		}
		saw = append(saw, fmt.Sprint(changed.Data))
		_, err = maps.Update(ctx, &stale, metav1.UpdateOptions{})
		saw = append(saw, fmt.Sprintf("an update of %s that comes late: conflict %t", stale.Name, apierrors.IsConflict(err)))
		_, err = maps.Create(ctx, madeHere("one"), metav1.CreateOptions{})
		saw = append(saw, fmt.Sprint(apierrors.IsAlreadyExists(err), " ", err))
		if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "made=here"}); err != nil {
			return err
		}
		for range 7 {
			select {
			case e := <-w.ResultChan():
				saw = append(saw, fmt.Sprint(e.Type, " ", e.Object.(*corev1.ConfigMap).Name))
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		slices.Sort(saw[len(saw)-3:]) // a collection is deleted by several at once
		return nil
	})
}

var gadgets = schema.GroupVersionResource{Group: "through.example", Version: "v1", Resource: "gadgets"}

func dynamicWatch(ctx context.Context, cfg *rest.Config, ns string) (saw []string, err error) {
	return saw, connected(cfg, func(hc *http.Client) error {
		all, err := dynamic.NewForConfigAndClient(cfg, hc)
		if err != nil {
			return err
		}
		mine := all.Resource(gadgets).Namespace(ns)
		before, err := mine.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		w, err := mine.Watch(ctx, metav1.ListOptions{ResourceVersion: before.GetResourceVersion(), AllowWatchBookmarks: true})
		if err != nil {
			return err
		}
		defer w.Stop()
		gadget := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "through.example/v1", "kind": "Gadget", "metadata": map[string]any{"name": "g"}, "spec": map[string]any{"size": int64(1)},
		}}
		for size := range int64(5) {
			_ = unstructured.SetNestedField(gadget.Object, size, "spec", "size")
			if _, err := mine.Apply(ctx, "g", gadget, metav1.ApplyOptions{FieldManager: "through", Force: true}); err != nil {
				return err
			}
			select {
			case e := <-w.ResultChan():
				saw = append(saw, fmt.Sprint(e.Type, e.Object.(*unstructured.Unstructured).Object["spec"]))
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		_, err = mine.Watch(ctx, metav1.ListOptions{ResourceVersion: "not a version"})
		saw = append(saw, fmt.Sprint(apierrors.IsBadRequest(err), " ", err))
		return nil
	})
}

// informed sees the start of a list that is streamed, and what comes after.
func informed(ctx context.Context, cfg *rest.Config, ns string) (saw []string, err error) {
	return saw, connected(cfg, func(hc *http.Client) error {
		all, err := kubernetes.NewForConfigAndClient(cfg, hc)
		if err != nil {
			return err
		}
		if _, err := all.CoreV1().ConfigMaps(ns).Create(ctx, madeHere("before"), metav1.CreateOptions{}); err != nil {
			return err
		}
		heard := make(chan string, 16)
		factory := informers.NewSharedInformerFactoryWithOptions(all, 0, informers.WithNamespace(ns), informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = "made=here"
		}))
		_, err = factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { heard <- "+" + o.(*corev1.ConfigMap).Name },
			DeleteFunc: func(any) { heard <- "-" },
		})
		if err != nil {
			return err
		}
		within, end := context.WithCancel(ctx)
		defer factory.Shutdown()
		defer end()
		factory.Start(within.Done())
		for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
			saw = append(saw, fmt.Sprint(kind, " ", ok))
		}
		if err := all.CoreV1().ConfigMaps(ns).Delete(ctx, "before", metav1.DeleteOptions{}); err != nil {
			return err
		}
		for range 2 {
			select {
			case s := <-heard:
				saw = append(saw, s)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
}

// spdyExec runs a command as programs did before WebSockets: input, both outputs and the exit code.
func spdyExec(ctx context.Context, cfg *rest.Config, ns string) (saw []string, err error) {
	return saw, connected(cfg, func(hc *http.Client) error {
		all, err := kubernetes.NewForConfigAndClient(cfg, hc)
		if err != nil {
			return err
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
		if _, err := all.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
		for phase := corev1.PodPending; phase != corev1.PodRunning; {
			if err := ctx.Err(); err != nil {
				return err
			}
			p, err := all.CoreV1().Pods(ns).Get(ctx, "p", metav1.GetOptions{})
			if err != nil {
				return err
			}
			phase = p.Status.Phase
		}
		u := all.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("p").SubResource("exec").VersionedParams(&corev1.PodExecOptions{
			Container: "main", Command: []string{"sh", "-c", "cat; echo aside >&2; exit 5"}, Stdin: true, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec).URL()
		spdy, err := remotecommand.NewSPDYExecutor(cfg, http.MethodPost, u)
		if err != nil {
			return err
		}
		var out, errs bytes.Buffer
		err = spdy.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("typed"), Stdout: &out, Stderr: &errs})
		var exited utilexec.ExitError
		if !errors.As(err, &exited) {
			return fmt.Errorf("it didn't end as it should: %w", err)
		}
		saw = append(saw, out.String(), errs.String(), fmt.Sprint(exited.ExitStatus()))
		return nil
	})
}

// rawForms asks for the forms of an answer by hand, and looks at what headers tell of it.
func rawForms(ctx context.Context, cfg *rest.Config, ns string) (saw []string, err error) {
	return saw, connected(cfg, func(hc *http.Client) error {
		for _, ask := range [][3]string{
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"},
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps/kube-root-ca.crt", "application/yaml"},
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps", "application/cbor"},
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps", "text/nonsense"},
			{"GET", "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"},
			{"HEAD", "/api/v1/namespaces/" + ns, "application/json"},
			{"OPTIONS", "/api/v1/namespaces/" + ns, "application/json"},
			{"DELETE", "/api/v1/namespaces/" + ns + "/configmaps/nothing", "application/json"},
			{"GET", "/api/v1/namespaces/" + ns + "/configmaps/%6e%6Fthing", "application/json"},
			{"GET", "/nowhere", "application/json"},
		} {
			req, err := http.NewRequestWithContext(ctx, ask[0], strings.TrimSuffix(cfg.Host, "/")+ask[1], nil)
			if err != nil {
				return err
			}
			req.Header.Set("Accept", ask[2])
			resp, err := hc.Do(req)
			if err != nil {
				return err
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				return err
			}
			text := newNormalizer(nil).text(string(body))
			saw = append(saw, fmt.Sprintf("%s %s: %d %s, cached %q: %d %.300s", ask[0], ask[1], resp.StatusCode, resp.Header.Get("Content-Type"),
				resp.Header.Get("Cache-Control"), len(text), text))
		}
		return nil
	})
}
