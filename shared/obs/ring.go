package obs

import (
	"io"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Ring keeps the newest lines of a log in memory, up to a number of bytes.
type Ring struct {
	core zapcore.Core

	mu    sync.Mutex
	lines [][]byte // the oldest first, from at on
	at    int
	size  int
	most  int // bytes
}

// NewRing makes one of so many bytes.
func NewRing(bytes int) *Ring {
	r := &Ring{most: bytes}
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	r.core = zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.AddSync(ringWriter{r}), zapcore.InfoLevel)
	return r
}

// Keep gives a log whose lines of info and above are kept too, whatever the log itself leaves out.
func (r *Ring) Keep(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, r.core) }))
}

type ringWriter struct{ *Ring }

// Write implements io.Writer, a line at a time.
func (w ringWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, append([]byte(nil), line...))
	for w.size += len(line); w.size > w.most && w.at < len(w.lines); w.at++ {
		w.size -= len(w.lines[w.at])
		w.lines[w.at] = nil
	}
	if w.at > len(w.lines)/2 {
		w.lines = append([][]byte(nil), w.lines[w.at:]...)
		w.at = 0
	}
	return len(line), nil
}

// WriteTo writes what is kept, oldest first; JSON, a line each.
func (r *Ring) WriteTo(out io.Writer) (n int64, err error) {
	r.mu.Lock()
	kept := append([][]byte(nil), r.lines[r.at:]...) // the lines themselves aren't changed any more
	r.mu.Unlock()
	for _, line := range kept {
		m, err := out.Write(line)
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, nil
}
