package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Whatever is killed whenever: afterwards hub and agent agree, and what is stored is what was meant.
func TestKilledAtAnyPoint(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := start(t, db)
		k := &killer{rig: r, rand: rand.New(rand.NewPCG(seed, 1)), m: r.join(t, world.us, world.us.agent)}

		for i := range 5 { // the first one at once, the later ones at random
			k.duringSession(t, 1+time.Duration(i)*80*time.Millisecond)
		}
		r.live(t, k.m)
		// Where the kills meet the load is luck, which this test doesn't judge; the count says how lucky this run was.
		t.Logf("%d loads were begun until one was complete", r.log.count("sync session opened", `"load": true`))
		r.agrees(t, k.m, world.us)

		for range 5 {
			k.m.agent.Kill()
			k.m.restart(t)
			k.duringSession(t, 120*time.Millisecond)
		}
		r.live(t, k.m)

		stop := churn(t, world.us, "churn-"+db.tag)
		for range 6 {
			k.duringSession(t, time.Second)
		}
		stop()
		r.live(t, k.m)
		r.agrees(t, k.m, world.us)
		r.mirrors(t, k.m, world.us)
		r.sound(t, k.m, world.us)
	})
}

type killer struct {
	*rig
	m        *member
	rand     *rand.Rand
	sessions int // seen so far
}

// duringSession waits for the next session, then kills hub or agent within a random time, and starts it again.
func (k *killer) duringSession(t *testing.T, within time.Duration) {
	t.Helper()
	eventually(t, "another session is opened", 30*time.Second, func() error {
		if n := k.log.count("sync session opened"); n > k.sessions {
			k.sessions = n
			return nil
		}
		return fmt.Errorf("%d so far", k.sessions)
	})
	<-time.After(time.Duration(k.rand.Int64N(int64(within)))) // the point of the kill; nothing is waited for
	if k.rand.IntN(2) == 0 {
		k.m.agent.Kill()
		k.m.restart(t)
		return
	}
	k.hub.Kill()
	k.restartHub(t)
}

// churn changes objects of a namespace without pause until it is stopped.
func churn(t *testing.T, c *cluster, namespace string) (stop func()) {
	t.Helper()
	if _, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if err := change(ctx, c, namespace, i); err != nil && ctx.Err() == nil {
				t.Errorf("change %d: %v", i, err)
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// change makes, alters or deletes one of a few ConfigMaps, which come back under their names with other UIDs, and alters one of many.
func change(ctx context.Context, c *cluster, namespace string, i int) error {
	maps := c.client.CoreV1().ConfigMaps(namespace)
	name := "churn-" + strconv.Itoa(i/3%7)
	patch := fmt.Appendf(nil, `{"metadata": {"labels": {"i": "%d"}}, "data": {"i": "%[1]d"}}`, i)
	var err error
	switch i % 3 {
	case 0:
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	case 1:
		_, err = c.client.CoreV1().ConfigMaps("bulk").Patch(ctx, fmt.Sprintf("bulk-%d", i%1500), types.MergePatchType, patch, metav1.PatchOptions{})
		if err == nil {
			_, err = maps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		}
	default:
		err = maps.Delete(ctx, name, metav1.DeleteOptions{})
	}
	return err
}

// sound looks at what is stored: each column says what its hash says, hub and agent agree without a repair, and manifests are those of the
// hub that nobody abused.
func (r *rig) sound(t *testing.T, m *member, c *cluster) {
	t.Helper()
	before := r.metric(t, "kubilitics_hub_ingest_unequal_buckets_total")
	if n := r.verify(t, m); n != 0 {
		t.Errorf("%d stored rows don't say what their hashes say", n)
	}
	// The agent compares before it tells what happens next.
	stamp := strconv.FormatInt(time.Now().UnixNano(), 10)
	if _, err := c.client.CoreV1().ConfigMaps("shop").Patch(t.Context(), "banner-autumn", types.MergePatchType,
		[]byte(`{"metadata": {"labels": {"stamp-`+r.db.tag+`": "`+stamp+`"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stamp arrives", 15*time.Second, func() error {
		got := get[detail](t, &r.hub.Client, "/api/v1/clusters/"+m.id+"/resources/-/v1/configmaps/shop/banner-autumn")
		if got.Resource.Labels["stamp-"+r.db.tag] != stamp {
			return fmt.Errorf("labels %v", got.Resource.Labels)
		}
		return nil
	})
	if after := r.metric(t, "kubilitics_hub_ingest_unequal_buckets_total"); after != before {
		t.Errorf("a comparison found %v buckets unequal", after-before)
	}
	eventually(t, "the manifests are the reference's", 20*time.Second, func() error {
		return differences(world.reference.db.manifests(t, c.reference.name), r.db.manifests(t, m.name))
	})
}

// metric sums up a metric of the hub over its labels.
func (r *rig) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	text, err := r.hub.Text(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// manifests gives the hash of each manifest that is stored of a cluster.
func (d *database) manifests(t *testing.T, cluster string) map[string]string {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	text := "SELECT lower(hex(m.id)), lower(hex(m.hash)) FROM manifests m JOIN clusters c ON c.cluster_id = m.cluster_id WHERE c.name = '" + cluster + "'"
	if d.name == "postgres" {
		text = strings.NewReplacer("lower(hex(m.id))", "replace(m.id::text, '-', '')", "lower(hex(m.hash))", "replace(m.hash::text, '-', '')").Replace(text)
	}
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var id, hash string
		if err := rows.Scan(&id, &hash); err != nil {
			t.Fatal(err)
		}
		out[id] = hash
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
