package pods

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestLogsOfManyAreOneInTheOrderOfTime(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app", "proxy")
	v.pod("web-2", nil, "app")
	want := []string{}
	for i := range 3000 {
		log := []string{"web-1/app", "web-1/proxy", "web-2/app"}[i*7%3]
		v.line(log, i*1000, fmt.Sprint("n", i))
		want = append(want, fmt.Sprint("n", i))
	}
	r := v.read(v.service(), LogQuery{Selector: "app=web"})
	r.toEnd()
	r.expect(strings.Join(want, " "))

	r = v.read(v.service(), LogQuery{Pod: "web-1", Containers: []string{"proxy"}, Tail: new(int64(2))})
	r.toEnd()
	r.expect("n2995 n2998")
	if e := r.all[0]; e.Pod != "web-1" || e.Container != "proxy" || !e.Time.Equal(when(2995*1000)) {
		t.Errorf("%+v", e)
	}
}

func TestWhatBreaksOffGoesOnWithoutALineTwice(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app")
	for i, at := range []int{1, 5, 5, 5} { // three of one instant
		v.line("web-1/app", at, fmt.Sprint("a", i))
	}
	r := v.read(v.service(), LogQuery{Pod: "web-1", Follow: true})
	r.untilLine("a3")
	v.line("web-1/app", 5, "a4") // of the same instant still
	r.untilLine("a4")
	v.cut("web-1/app")
	v.line("web-1/app", 5, "a5")
	v.line("web-1/app", 6, "a6")
	r.untilLine("a6")
	r.expect("a0 a1 a2 a3 a4 a5 a6")
	r.untilNote(Interrupted)
	r.untilNote(Resumed)
}

// Whatever is cut when, each line comes once, and those of one container in their order.
func TestLinesComeOnceWhateverBreaks(t *testing.T) {
	v := newTown(t)
	logs := []string{"web-1/app", "web-2/app", "web-3/app"}
	for _, l := range logs {
		pod, _, _ := strings.Cut(l, "/")
		v.pod(pod, nil, "app")
	}
	random := rand.New(rand.NewPCG(4, 2))
	r := v.read(v.service(), LogQuery{Selector: "app=web", Follow: true})
	const each = 300
	go func() { // ends before the test, which waits for the last lines
		at := 0
		for i := range each {
			for _, l := range logs {
				at += random.IntN(3) * 100_000 // often of one instant
				v.line(l, at, fmt.Sprint(l, i))
				if random.IntN(40) == 0 {
					v.cut(l)
				}
			}
			time.Sleep(time.Duration(random.IntN(2)) * time.Millisecond) // so that some are on their way when it breaks
		}
	}()
	next := map[string]int{}
	r.until("all lines", func() bool {
		for _, e := range r.all {
			l := e.Pod + "/" + e.Container
			if e.Kind == "" && e.Text != fmt.Sprint(l, next[l]) {
				t.Fatalf("%s, want number %d", e.Text, next[l])
			} else if e.Kind == "" {
				next[l]++
			}
		}
		r.all = nil
		return next[logs[0]]+next[logs[1]]+next[logs[2]] == each*len(logs)
	})
}

func TestPodsThatComeAreFollowedAndThoseThatGoAreLeft(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app")
	v.line("web-1/app", 1, "one")
	r := v.read(v.service(), LogQuery{Selector: "app=web", Follow: true})
	r.untilLine("one")
	v.pod("web-2", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = corev1.ContainerState{} }, "app") // hasn't begun
	v.pod("web-2", func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State.Running = &corev1.ContainerStateRunning{}
	})
	v.line("web-2/app", 2, "two")
	r.untilLine("two")
	r.untilNote(Joined)
	v.restart("web-2", "app")
	v.line("web-2/app", 3, "two again")
	r.untilLine("two again")
	r.untilNote(Restarted)
	v.remove("web-1")
	r.untilNote(Ended)
	v.pod("web-1", nil, "app") // of the same name, another
	v.line("web-1/app", 4, "three")
	r.untilLine("three")
	r.expect("one two two again three")
}

func TestFollowingOfAPodEndsWithIt(t *testing.T) {
	v := newTown(t)
	v.pod("job", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }, "work")
	v.line("job/work", 1, "begun")
	r := v.read(v.service(), LogQuery{Pod: "job", Follow: true})
	r.untilLine("begun")
	v.line("job/work", 2, "done")
	v.mu.Lock()
	v.last("job/work").ended = true
	v.mu.Unlock()
	v.pod("job", func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodSucceeded
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	})
	r.toEnd()
	r.expect("begun done")
}

func TestOneThatFailsDoesNotEndTheOthers(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app")
	v.pod("web-2", nil, "app")
	v.line("web-1/app", 1, "well")
	v.refuses("web-2/app", fault.New(fault.Forbidden, "you may not, said the cluster"))
	for _, follow := range []bool{false, true} {
		r := v.read(v.service(), LogQuery{Selector: "app=web", Follow: follow})
		r.untilLine("well")
		r.untilNote(Failed)
		if !strings.Contains(r.String(), "web-2/app failedyou may not, said the cluster") {
			t.Error(r)
		}
	}
	v.refuses("web-1/app", fault.New(fault.Forbidden, "nor there"))
	_, err := v.service().Logs(t.Context(), anybody, LogQuery{Namespace: "shop", Selector: "app=web"})
	if !fault.Is(err, fault.Forbidden) {
		t.Errorf("nothing can be read: %v", err)
	}
	for _, q := range []LogQuery{{Pod: "nobody"}, {Selector: "app=none"}, {Pod: "web-1", Containers: []string{"other"}}, {Owner: &Owner{Group: "apps", Version: "v1", Plural: "deployments", Kind: "Deployment", Name: "web"}}} {
		q.Namespace = "shop"
		if _, err := v.service().Logs(t.Context(), anybody, q); !fault.Is(err, fault.NotFound) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestNoMoreThanSoManyAreReadAtOnceAndTheStreamSaysSo(t *testing.T) {
	v := newTown(t)
	for i := range 5 {
		v.pod(fmt.Sprint("web-", i), nil, "app")
		v.line(fmt.Sprintf("web-%d/app", i), i, fmt.Sprint("n", i))
	}
	few := func(c *Config) { c.Sources = 3 }
	r := v.read(v.service(few), LogQuery{Selector: "app=web"})
	r.toEnd()
	r.expect("n0 n1 n2")
	if e := r.all[0]; e.Kind != Limited || !strings.Contains(e.Text, "5 containers are meant; 3 are read") {
		t.Errorf("first: %+v", e)
	}
	r = v.read(v.service(few), LogQuery{Selector: "app=web", Follow: true})
	r.untilLine("n2")
	v.remove("web-1") // leaves room for another
	r.untilLine("n3")
	if v.open.Load() > 3 {
		t.Errorf("%d are read at once", v.open.Load())
	}
}

// Who doesn't read makes the cluster wait, and costs what is on the way.
func TestASlowReaderHoldsItsSourcesBack(t *testing.T) {
	v := newTown(t)
	long := strings.Repeat("x", 1000)
	for _, pod := range []string{"web-1", "web-2"} {
		v.pod(pod, nil, "app")
		for i := range 30_000 {
			v.line(pod+"/app", i, long)
		}
	}
	r := v.read(v.service(), LogQuery{Selector: "app=web"})
	if _, err := r.l.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := int64(-1)
	for deadline := time.Now().Add(10 * time.Second); v.sent.Load() != before; { // until it stands still
		if before = v.sent.Load(); time.Now().After(deadline) {
			t.Fatal("it doesn't stand still")
		}
		time.Sleep(300 * time.Millisecond)
	}
	if before > 40<<20 { // of 60 MB; the rest is the kernel's buffers
		t.Errorf("%d bytes were taken from the cluster for a reader who took none", before)
	}
	r.toEnd()
	if n := len(strings.Fields(r.lines())); n+512 < 60_000 {
		t.Errorf("%d lines", n)
	}
}

func TestWhoLeavesEndsWhatWasOpened(t *testing.T) {
	v := newTown(t)
	for i := range 8 {
		v.pod(fmt.Sprint("web-", i), nil, "app")
		v.line(fmt.Sprintf("web-%d/app", i), i, "x")
	}
	ctx, leave := context.WithCancel(t.Context())
	l, err := v.service().Logs(ctx, anybody, LogQuery{Namespace: "shop", Selector: "app=web", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 8; {
		batch, err := l.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(batch)
	}
	leave()
	left := time.Now()
	l.Close()
	for v.open.Load() > 0 && time.Since(left) < 5*time.Second {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(left); took > time.Second {
		t.Errorf("after %s, %d are still read", took, v.open.Load())
	}
}

func TestVeryLongLinesComeInPieces(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app")
	v.pod("web-2", nil, "app")
	long := strings.Repeat("añ€𝄞", 20_000)
	v.line("web-1/app", 2, long)
	v.line("web-2/app", 1, "before")
	v.line("web-2/app", 3, "after")
	r := v.read(v.service(), LogQuery{Selector: "app=web"})
	r.toEnd()
	var b strings.Builder
	for i, e := range r.all[1 : len(r.all)-1] {
		if last := i == len(r.all)-3; e.Pod != "web-1" || !e.Time.Equal(when(2)) || e.Partial == last || len(e.Text) > pieceBytes+4 {
			t.Fatalf("piece %d: %s %d bytes, %t", i, e.Pod, len(e.Text), e.Partial)
		}
		b.WriteString(e.Text)
	}
	if b.String() != long || r.all[0].Text != "before" || r.all[len(r.all)-1].Text != "after" {
		t.Errorf("%d pieces of %d bytes, want %d", len(r.all), b.Len(), len(long))
	}
}

// Followed lines of two who write in turn are put in order though one's come a little later.
func TestFollowedLinesAreInOrderWithinTheWindow(t *testing.T) {
	v := newTown(t)
	v.pod("web-1", nil, "app")
	v.pod("web-2", nil, "app")
	v.line("web-1/app", 1, "n1")
	v.line("web-2/app", 2, "n2")
	r := v.read(v.service(func(c *Config) { c.Window = time.Second }), LogQuery{Selector: "app=web", Follow: true})
	r.untilLine("n2")
	for n := 10; n < 30; n += 2 {
		v.line("web-2/app", n+1, fmt.Sprint("n", n+1))
		v.line("web-1/app", n, fmt.Sprint("n", n))
	}
	r.untilLine("n28")
	r.untilLine("n29")
	var want []string
	for n := 10; n < 30; n++ {
		want = append(want, fmt.Sprint("n", n))
	}
	r.expect("n1 n2 " + strings.Join(want, " "))
}

func TestSelectorsOfEitherForm(t *testing.T) {
	for raw, want := range map[string]string{
		`{"app":"web"}`: "app=web", `{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"x","operator":"Exists"}]}`: "app=web,x", `{}`: "", `null`: "", ``: "", `"app=web"`: "",
	} {
		if got, ok := selects([]byte(raw)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t", raw, got, ok)
		}
	}
}

func TestLogQueriesAreChecked(t *testing.T) {
	for field, q := range map[string]LogQuery{
		"namespace":     {Namespace: "../kube-system", Pod: "x"},
		"pod":           {Namespace: "shop", Pod: "a/b"},
		"selector":      {Namespace: "shop", Selector: "a=("},
		"container":     {Namespace: "shop", Pod: "a", Containers: []string{"A"}},
		"previous":      {Namespace: "shop", Pod: "a", Previous: true, Follow: true},
		"allContainers": {Namespace: "shop", Pod: "a", Containers: []string{"a"}, AllContainers: true},
		"owner":         {Namespace: "shop", Owner: &Owner{Kind: "Pod", Name: "%2e"}},
		"tail":          {Namespace: "shop", Pod: "a", Tail: new(int64(-1))},
	} {
		_, err := New(Config{}).Logs(t.Context(), anybody, q)
		if f := fault.Public(err); f.Code != fault.BadRequest || len(f.Fields) != 1 || f.Fields[0].Name != field {
			t.Errorf("%s: %+v", field, f)
		}
	}
	if _, err := New(Config{}).Logs(t.Context(), anybody, LogQuery{Namespace: "shop"}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("no pods are said: %v", err)
	}
}

// BenchmarkLogs merges the logs of 20 containers; the stand-in's part is in the figures.
func BenchmarkLogs(b *testing.B) {
	v := newTown(b)
	const pods, each = 20, 5000
	for p := range pods {
		name := fmt.Sprint("web-", p)
		v.pod(name, nil, "app")
		for i := range each {
			v.line(name+"/app", i*pods+p, "a line of a log that is neither long nor short, of a hundred bytes as they mostly are in the end")
		}
	}
	for b.Loop() {
		l, err := v.service().Logs(b.Context(), anybody, LogQuery{Namespace: "shop", Selector: "app=web"})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			batch, err := l.Next(b.Context())
			if err != nil {
				break
			}
			n += len(batch)
		}
		if l.Close(); n != pods*each {
			b.Fatalf("%d lines", n)
		}
	}
	b.ReportMetric(float64(pods*each*b.N)/b.Elapsed().Seconds(), "lines/s")
}

// A watch has no end, but each of its events has one.
func TestAnEventWithoutAnEnd(t *testing.T) {
	const begins = `{"type":"ADDED","object":"`
	common := strings.Repeat(begins+strings.Repeat("x", 1<<20)+"\"}\n", 20) // more than one may have
	endless := &counted{}
	events := make(chan event, 20)
	err := decode(t.Context(), io.MultiReader(strings.NewReader(common+begins), endless), events)
	if len(events) != 20 || !fault.Is(err, fault.Unavailable) || endless.read > 2*maxEvent {
		t.Errorf("%d events, then %d bytes of one more, then %v", len(events), endless.read, err)
	}
}

// counted gives a letter for ever, or nearly.
type counted struct{ read int }

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if c.read > 8*maxEvent {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = 'x'
	}
	c.read += len(p)
	return len(p), nil
}
