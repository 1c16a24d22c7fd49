package e2e

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Objects at the edge of what Kubernetes takes arrive whole: the largest ConfigMap, which hardly compresses, and texts that a database
// can't hold as they are.
func TestOddObjects(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		m := r.join(t, world.eu, world.eu.agent)
		r.live(t, m)
		ns := "odd-" + db.tag
		if _, err := world.eu.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		large := make([]byte, 0, 1<<20)
		for len(large) < 1_040_000 {
			large = append(large, rand.Text()...)
		}
		maps := world.eu.client.CoreV1().ConfigMaps(ns)
		for name, data := range map[string]string{"large": string(large), "nul": "before\x00after", "wide": "日本語 \U0001F6A2 \u2028"} {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"note": data[:min(len(data), 40)]}}, Data: map[string]string{"text": data}}
			if _, err := maps.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for name, want := range map[string]string{"large": string(large), "nul": "before\x00after", "wide": "日本語 \U0001F6A2 \u2028"} {
			eventually(t, "the manifest of "+name+" is whole", 15*time.Second, func() error { return r.holds(t, m, ns, name, want) })
		}
		aside := get[page[any]](t, &r.hub.Client, "/api/v1/clusters/"+m.id+"/quarantine")
		if len(aside.Items) > 0 {
			t.Errorf("set aside: %+v", aside.Items)
		}
		r.agrees(t, m, world.eu)
		m.agent.Kill() // a first load with them, too: hashes and sums are the same, so nothing is sent
		m.restart(t)
		eventually(t, "the agent has told everything again", 15*time.Second, func() error {
			if n := m.log.count("everything is told"); n < 2 {
				return fmt.Errorf("it did %d times", n)
			}
			return nil
		})
		r.sound(t, m, world.eu)
	})
}

func (r *rig) holds(t *testing.T, m *member, ns, name, want string) error {
	var got detail
	if err := r.hub.Get(t.Context(), "/api/v1/clusters/"+m.id+"/resources/-/v1/configmaps/"+ns+"/"+name+"?manifest=true", &got); err != nil {
		return err
	}
	if got.Manifest == nil {
		return errors.New(got.ManifestAbsent)
	}
	var cm corev1.ConfigMap
	if err := json.Unmarshal(got.Manifest, &cm); err != nil {
		return err
	}
	if cm.Data["text"] != want {
		return fmt.Errorf("it holds %d bytes, want %d: %.60q", len(cm.Data["text"]), len(want), cm.Data["text"])
	}
	return nil
}

// The API server goes away under an agent and comes back: nothing that happens meanwhile or just after is missed.
func TestAPIServerRestarts(t *testing.T) {
	t.Parallel()
	c := &cluster{Cluster: kube.ForTest(t, kube.Options{Name: "restless", Nodes: 1}), name: "restless"}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.hangUp)
	if err := c.Apply(t.Context(), access); err != nil {
		t.Fatal(err)
	}
	if err := c.accounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := start(t, &database{name: "sqlite"})
	m := r.join(t, c, c.agent)
	r.live(t, m)
	maps := c.client.CoreV1().ConfigMaps("default")
	for i := range 20 {
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ship-%d", i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		if err := c.StopAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.becomes(t, m, "live", time.Second); len(r.names(t, m.id)) == 0 {
			t.Error("without its API server the cluster seems to be empty")
		}
		if err := c.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, fresh := fmt.Sprintf("ship-%d", round), fmt.Sprintf("fresh-%d", round)
		if err := maps.Delete(t.Context(), gone, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fresh}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.mirrors(t, m, c)
	}
	if n := r.log.count("sync session opened"); n != 1 {
		t.Errorf("%d sessions with the hub: an API server's restart is none of the hub's business", n)
	}
}

// An agent that starts while its API server is away waits for it.
func TestAgentWaitsForItsAPIServer(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.Replace(string(world.eu.Kubeconfig()), strings.TrimPrefix(world.eu.URL, "https://"), "127.0.0.1:1", 1)
	write(t, file, text)
	m := r.join(t, world.eu, file)
	says(t, m.log, 15*time.Second, "can't be asked who it is")
	var c stack.Cluster
	c, err := r.hub.Cluster(t.Context(), m.id)
	if err != nil || c.Freshness.State != "never" {
		t.Errorf("the cluster is %+v (%v)", c, err)
	}
}
