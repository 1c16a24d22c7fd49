package kubeproxy_test

import (
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/obs/obstest"
)

// BenchmarkGet is a small GET through hub, tunnel and a stand-in for the agent, by 64 at a time: all of it is this process's time.
func BenchmarkGet(b *testing.B) { get(b, newRig(b)) }

// BenchmarkGetTraced is the same with a collector: of none, of one in a hundred and of all requests there are traces.
func BenchmarkGetTraced(b *testing.B) {
	for _, share := range []float64{0, 0.01, 1} {
		b.Run(strconv.FormatFloat(share, 'g', -1, 64), func(b *testing.B) {
			r := newRig(b)
			tracer, err := obs.NewTracer("bench", obs.TraceConfig{Endpoint: obstest.NewCollector(b).URL, Sample: share}, zap.NewNop())
			if err != nil {
				b.Fatal(err)
			}
			defer tracer.Close(b.Context())
			r.tracer = tracer
			get(b, r)
		})
	}
}

func get(b *testing.B, r *rig) {
	answer := []byte(`{"kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"` + strings.Repeat("x", 500) + `"}}`)
	r.cluster("eu-1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.discard(b, pods+"/a")
		}
	})
}

// BenchmarkList is 20 MB through hub, tunnel and a stand-in for the agent.
func BenchmarkList(b *testing.B) {
	r := newRig(b)
	chunk := []byte(strings.Repeat("x", 32<<10))
	r.cluster("eu-1", func(w http.ResponseWriter, _ *http.Request) {
		for range 640 {
			_, _ = w.Write(chunk)
		}
	})
	b.SetBytes(640 * 32 << 10)
	for b.Loop() {
		r.discard(b, pods)
	}
}

func (r *rig) discard(tb testing.TB, path string) {
	resp, err := r.client.Get(r.hub.URL + path)
	if err != nil {
		tb.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// What an idle watch holds in hub, client and agent together. The hub's own part is bounded at 64 KiB and 8 goroutines where it runs alone; here it is
// about half, and a copy buffer that is kept would be seen.
func TestIdleWatchesCostLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("opens hundreds of connections")
	}
	const watches = 300
	r := newRig(t)
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100<<10)+"\n") // buffers have been large
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	open := func() {
		resp, err := r.client.Get(r.hub.URL + pods + "?watch=1")
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 100<<10+1); err != nil {
			t.Error(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	open()
	beforeBytes, beforeGoroutines := weight()
	var opening sync.WaitGroup
	for range watches {
		opening.Go(open)
	}
	opening.Wait()
	var bytes, goroutines int
	eventually(t, "what was needed to open them is gone", func() bool {
		bytes, goroutines = weight()
		bytes, goroutines = (bytes-beforeBytes)/watches, (goroutines-beforeGoroutines)/watches
		return bytes <= 160<<10 && goroutines <= 8
	})
	t.Logf("an idle watch: %d KiB and %d goroutines, of hub, client and agent together", bytes>>10, goroutines)
}

func weight() (bytes, goroutines int) {
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
}
