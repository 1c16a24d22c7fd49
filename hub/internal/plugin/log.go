package plugin

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// What a plugin writes to its standard error goes to the hub's log, but no more of it than this.
const (
	linesASecond = 20
	linesAtOnce  = 100
	lineLimit    = 2000 // bytes
)

// sink is where go-plugin's log and the plugin's lines go.
type sink struct {
	log     *zap.Logger
	limit   *rate.Limiter
	dropped atomic.Int64
	lost    func() // called for each line that is dropped
}

func newSink(log *zap.Logger, lost func()) *sink {
	return &sink{log: log, limit: rate.NewLimiter(linesASecond, linesAtOnce), lost: lost}
}

// logger is what go-plugin writes to.
func (s *sink) logger() hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(s)
	return l
}

// lines is where go-plugin writes what a running plugin prints, in pieces of any length. One goroutine uses it.
type lines struct {
	sink  *sink
	usual hclog.Level // of a line that doesn't say
	begun []byte      // of a line whose end hasn't come
}

// Write implements io.Writer. It never fails: a log must not end what it tells of.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.begun = append(l.begun, line[:min(len(line), max(lineLimit-len(l.begun), 0))]...)
		if !whole {
			return n, nil
		}
		if len(l.begun) > 0 {
			l.sink.Accept("", level(l.begun, l.usual), string(l.begun))
		}
		l.begun, p = l.begun[:0], rest
	}
}

// level reads the mark that lines commonly begin with.
func level(line []byte, usual hclog.Level) hclog.Level {
	if mark, _, ok := bytes.Cut(line, []byte("] ")); ok && len(mark) > 0 && mark[0] == '[' {
		if l := hclog.LevelFromString(string(mark[1:])); l != hclog.NoLevel {
			return l
		}
	}
	return usual
}

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Debug {
		return
	}
	if !s.limit.Allow() {
		s.dropped.Add(1)
		s.lost()
		return
	}
	if n := s.dropped.Swap(0); n > 0 {
		s.log.Warn("the plugin writes too much; lines were dropped", zap.Int64("lines", n))
	}
	write := s.log.Debug
	switch level {
	case hclog.Info:
		write = s.log.Info
	case hclog.Warn:
		write = s.log.Warn
	case hclog.Error:
		write = s.log.Warn // an error of the plugin is none of the hub
	}
	write(plainText(msg, lineLimit), fields(args)...)
}

// fields words pairs of keys and values.
func fields(args []any) []zap.Field {
	var out []zap.Field
	for i := 0; i+1 < len(args) && i < 20; i += 2 {
		out = append(out, zap.String(plainText(fmt.Sprint(args[i]), 50), plainText(fmt.Sprint(args[i+1]), lineLimit/4)))
	}
	return out
}

// plainText makes a text of strangers fit for logs and status: one line, no control characters, not too long.
func plainText(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
