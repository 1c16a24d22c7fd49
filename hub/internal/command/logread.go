package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// logLine is an entry, and the cluster that it comes from.
type logLine struct {
	Cluster string `json:"cluster"`
	client.LogEntry
}

const linesAhead = 256 // of each stream, that are read before they are printed

// read prints streams until they end, or, of what is followed, until somebody has seen enough.
func (a *app) read(ctx context.Context, s *session, streams []stream, follow bool, to *logPrinter) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	g, within := errgroup.WithContext(within)
	lines := make([]chan logLine, len(streams))
	for i, from := range streams {
		lines[i] = make(chan logLine, linesAhead)
		g.Go(func() error {
			defer close(lines[i])
			return s.stream(within, from, lines[i])
		})
	}
	to.out = bufio.NewWriterSize(a.Out, 64<<10)
	print := to.inOrder
	if follow {
		print = to.asTheyCome
	}
	err := print(lines)
	if err != nil {
		cancel()
	}
	err = errors.Join(err, g.Wait(), to.out.Flush())
	switch {
	case follow && ctx.Err() != nil: // Ctrl-C is how this ends
		return nil
	case err == nil && to.failed > 0:
		return fault.New(fault.Internal, "%d logs could not be read", to.failed)
	}
	return err
}

// stream reads one into a channel.
func (s *session) stream(ctx context.Context, from stream, into chan<- logLine) error {
	answer, err := s.client.Open(ctx, http.MethodGet, client.Of(from.cluster.ID, "logs")+"?"+from.query.Encode(), "application/x-ndjson", nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	for in := json.NewDecoder(answer); ; {
		line := logLine{Cluster: from.cluster.Name}
		if err := in.Decode(&line.LogEntry); err != nil {
			switch {
			case err == io.EOF: //nolint:errorlint // it comes bare
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			}
			return fault.Wrap(err, fault.Internal, "the logs of %s can't be read", from.cluster.Name)
		}
		select {
		case into <- line:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logPrinter gives lines their form.
type logPrinter struct {
	app      *app
	to       screen
	out      *bufio.Writer
	json     bool
	times    bool
	prefix   bool
	clusters bool // in the prefix

	inside string // whose line isn't whole yet; "" when every line is
	failed int
}

// inOrder prints what has an end, by time.
func (p *logPrinter) inOrder(lines []chan logLine) error {
	heads := make([]*logLine, len(lines))
	next := func(i int) {
		heads[i] = nil
		if line, ok := <-lines[i]; ok {
			heads[i] = &line
		}
	}
	for i := range lines {
		next(i)
	}
	for {
		first := -1
		for i, h := range heads {
			if h != nil && (first < 0 || h.Time.Before(heads[first].Time)) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		if err := p.print(*heads[first]); err != nil {
			return err
		}
		next(first)
	}
}

// asTheyCome prints what goes on, and keeps nothing back.
func (p *logPrinter) asTheyCome(lines []chan logLine) error {
	all := make(chan logLine)
	stop := make(chan struct{})
	var readers errgroup.Group
	for _, from := range lines {
		readers.Go(func() error {
			for line := range from {
				select {
				case all <- line:
				case <-stop:
					return nil
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	go func() {
		_ = readers.Wait() // they give none
		close(all)
		close(done)
	}()
	var err error
	for line := range all {
		if err = errors.Join(p.print(line), p.out.Flush()); err != nil {
			break
		}
	}
	close(stop)
	<-done
	return err
}

func (p *logPrinter) print(line logLine) error {
	switch {
	case line.Note != "":
		return p.note(line)
	case p.json:
		text, err := json.Marshal(line)
		if err == nil {
			_, err = p.out.Write(append(text, '\n'))
		}
		return err
	}
	of := line.Cluster + "/" + line.Pod + "/" + line.Container
	if p.inside != of {
		if p.inside != "" {
			_ = p.out.WriteByte('\n') // what fails is told by the last write
		}
		_, _ = p.out.WriteString(p.before(line))
	}
	_, err := p.out.WriteString(line.Line)
	p.inside = of
	if !line.Partial {
		p.inside = ""
		err = p.out.WriteByte('\n')
	}
	return err
}

// colours are those of pods; a pod keeps its own.
var colours = []paint{"36", "32", "33", "35", "34", "96", "92", "93", "95", "94"}

func (p *logPrinter) before(line logLine) (text string) {
	if p.prefix {
		h := fnv.New32a()
		_, _ = h.Write([]byte(line.Cluster + line.Pod)) // a hash takes everything
		own := colours[h.Sum32()%uint32(len(colours))]
		if p.clusters {
			text = p.to.in(faint, line.Cluster) + " "
		}
		text += p.to.in(own, line.Pod) + " " + p.to.in(own+";2", line.Container) + " "
	}
	if p.times {
		text += p.to.in(faint, line.Time.Local().Format(time.RFC3339Nano)) + " "
	}
	return text
}

// note tells a remark beside the lines.
func (p *logPrinter) note(line logLine) error {
	if line.Note == "failed" {
		p.failed++
	}
	err := p.out.Flush()
	to := screenOf(p.app.Err)
	text := line.Pod + " " + line.Container
	if p.clusters || line.Pod == "" {
		text = line.Cluster + " " + text
	}
	fmt.Fprintln(to, to.in(faint, "# "+plainly(text+" "+line.Note+": "+line.Message)))
	return err
}
