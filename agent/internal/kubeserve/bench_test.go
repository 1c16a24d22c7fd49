package kubeserve

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// The API server of the measurements is a process of its own, so that the processor time of this one is that of both ends of the tunnel and the door.
var asAPI = flag.Bool("as-api-server", false, "be the API server of the benchmarks")

const (
	getPath  = "/api/v1/namespaces/default/pods/web-0"
	bulkPath = "/api/v1/configmaps"
	bulkSize = 20 << 20
)

// measured serves a small answer, one of 20 MB, and watches that say nothing after their beginning.
func measured(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Get("watch") != "":
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case r.URL.Path == bulkPath:
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
		for range bulkSize / len(chunk) {
			_, _ = w.Write(chunk)
		}
	default:
		_, _ = w.Write(bytes.Repeat([]byte("x"), 4000))
	}
}

// TestAsAPIServer is no test: it is the other process.
func TestAsAPIServer(t *testing.T) {
	if !*asAPI {
		t.Skip("only for the benchmarks")
	}
	api := newAPI(t, measured)
	fmt.Println(api.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until who asked for it has gone
	api.CloseClientConnections()
}

func apiProcess(b *testing.B) *rest.Config {
	cmd := exec.Command(os.Args[0], "-test.run=^TestAsAPIServer$", "-as-api-server")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var url string
	if _, err := fmt.Fscanln(out, &url); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _, _ = io.Copy(io.Discard, out); _ = cmd.Wait() })
	return restOf(&httptest.Server{URL: url})
}

// direct is a client of the API server without a tunnel.
func direct(b *testing.B, cfg *rest.Config) http.RoundTripper {
	rt, err := roundTripper(cfg, "http/1.1")
	if err != nil {
		b.Fatal(err)
	}
	return rt
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fetch(b testing.TB, way http.RoundTripper, host, path string) {
	req := request(context.Background(), "GET", path, "")
	req.Body = nil
	req.URL.Scheme, req.URL.Host, _ = strings.Cut(strings.Replace(host, "://", " ", 1), " ")
	resp, err := way.RoundTrip(req)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// BenchmarkSmall asks 64 at a time; cpu-us is the processor time of this process for each.
func BenchmarkSmall(b *testing.B) {
	cfg := apiProcess(b)
	r := newRigOn(b, Config{REST: cfg, Access: Operate})
	for _, way := range []struct {
		name string
		rt   http.RoundTripper
		host string
	}{{"direct", direct(b, cfg), cfg.Host}, {"door", r.way, "http://cluster"}} {
		for _, parallel := range []int{1, 64} {
			b.Run(way.name+"/"+strconv.Itoa(parallel), func(b *testing.B) {
				var wg sync.WaitGroup
				turns := make(chan struct{}, parallel)
				before := processorTime()
				b.ResetTimer()
				for range parallel {
					wg.Go(func() {
						for range turns {
							fetch(b, way.rt, way.host, getPath)
						}
					})
				}
				for range b.N {
					turns <- struct{}{}
				}
				close(turns)
				wg.Wait()
				b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
	}
}

func BenchmarkList20MB(b *testing.B) {
	cfg := apiProcess(b)
	r := newRigOn(b, Config{REST: cfg, Access: Operate})
	straight := direct(b, cfg)
	for name, get := range map[string]func(){
		"direct": func() { fetch(b, straight, cfg.Host, bulkPath) },
		"door":   func() { fetch(b, r.way, "http://cluster", bulkPath) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(bulkSize)
			before := processorTime()
			for b.Loop() {
				get()
			}
			b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkWatches tells what 1,000 idle watches hold in this process, which is both ends of the tunnel and the door.
func BenchmarkWatches(b *testing.B) {
	cfg := apiProcess(b)
	r := newRigOn(b, Config{REST: cfg, Access: Operate})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fetch(b, r.way, "http://cluster", getPath)
	var stacks float64
	held := func() (bytes, goroutines float64) {
		for range 6 { // each halves the stacks that have grown while a request began
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		stacks = float64(m.StackInuse) - stacks
		return float64(m.HeapInuse + m.StackInuse), float64(runtime.NumGoroutine())
	}
	bytes, goroutines := held()
	const n = 1000
	for range n {
		open(b, r, ctx, watchPath)
	}
	after, running := held()
	for b.Loop() {
		runtime.Gosched()
	}
	b.ReportMetric((after-bytes)/n/1024, "KiB/watch")
	b.ReportMetric(stacks/n/1024, "KiB-stacks/watch")
	b.ReportMetric((running-goroutines)/n, "goroutines/watch")
}
