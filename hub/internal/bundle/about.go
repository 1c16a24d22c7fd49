package bundle

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/kubilitics/kubilitics/shared/conf"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/version"
)

var started = time.Now()

// about is the process. Its arguments and its environment aren't told: people put secrets there.
type about struct {
	Version    string            `json:"version"`
	Go         string            `json:"go"`
	Platform   string            `json:"platform"`
	Build      map[string]string `json:"build"`
	Modules    []string          `json:"modules"`
	PID        int               `json:"pid"`
	Started    time.Time         `json:"started"`
	Now        time.Time         `json:"now"`
	CPUs       int               `json:"cpus"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	Goroutines int               `json:"goroutines"`
	Memory     runtime.MemStats  `json:"memory"`
}

// About is what the process is.
func About() Part {
	return JSON("about.json", func(context.Context) (any, error) {
		out := about{
			Version: version.String(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Build: map[string]string{}, PID: os.Getpid(),
			Started: started.UTC(), Now: time.Now().UTC(), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Goroutines: runtime.NumGoroutine(),
		}
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				out.Build[s.Key] = s.Value
			}
			for _, m := range info.Deps {
				out.Modules = append(out.Modules, m.Path+" "+m.Version)
			}
		}
		runtime.ReadMemStats(&out.Memory)
		return out, nil
	})
}

// Configuration is the effective one, with secrets masked.
func Configuration(lines []conf.Line) Part {
	return Part{Name: "configuration.txt", Make: func(_ context.Context, w io.Writer) error {
		for _, l := range lines {
			if _, err := fmt.Fprintf(w, "%s: %s\n", l.Key, l.Value); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Metrics are a snapshot of them, in Prometheus's text format.
func Metrics(from prometheus.Gatherer) Part {
	return Part{Name: "metrics.txt", Make: func(_ context.Context, w io.Writer) error {
		families, err := from.Gather()
		if err != nil {
			return err
		}
		enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
		for _, f := range families {
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Log is the newest lines of the log.
func Log(ring *obs.Ring) Part {
	return Part{Name: "log.jsonl", Make: func(_ context.Context, w io.Writer) error {
		_, err := ring.WriteTo(w)
		return err
	}}
}

// stacksOf so many goroutines at most are written one by one: the process stands still meanwhile.
const stacksOf = 20_000

// Profiles are where goroutines stand, alike ones counted and, unless there are too many, one by one, and where memory was taken.
func Profiles() []Part {
	return []Part{
		{Name: "goroutines.txt", Make: func(_ context.Context, w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 1) }},
		{Name: "stacks.txt", Make: func(_ context.Context, w io.Writer) error {
			if n := runtime.NumGoroutine(); n > stacksOf {
				_, err := fmt.Fprintf(w, "%d goroutines are too many to be written one by one\n", n)
				return err
			}
			return pprof.Lookup("goroutine").WriteTo(w, 2)
		}},
		{Name: "heap.pprof", Opaque: true, Make: func(_ context.Context, w io.Writer) error { return pprof.Lookup("heap").WriteTo(w, 0) }},
	}
}
