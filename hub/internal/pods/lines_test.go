package pods

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Whatever a node sends, its pieces put together are what it sent, in UTF-8 wherever that was.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "2026-03-01T10:00:00Z a\n2026-03-01T10:00:01.5Z b", "no time\n", "2026-03-01T10:00:00Z\n", strings.Repeat("€", 20_000) + "\nx", "\xff\xf0\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var all bytes.Buffer
		size := 0
		for l := newLineReader(iotest.HalfReader(bytes.NewReader(raw))); ; {
			begins := !l.inside
			p, err := l.next()
			if err == io.EOF {
				all.Write(l.rest)
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if begins && !p.at.IsZero() { // what was taken off
				line := raw[size : size+p.size]
				all.Write(line[:bytes.IndexByte(append(slices.Clone(line), ' '), ' ')])
				all.WriteString(" ")
			}
			size += p.size
			if all.Write(p.text); !p.goesOn {
				all.WriteByte('\n')
			}
		}
		got, want := strings.ReplaceAll(all.String(), " \n", "\n"), strings.ReplaceAll(string(raw), " \n", "\n")
		if strings.TrimRight(got, "\n ") != strings.TrimRight(want, "\n ") || size != len(raw) {
			t.Errorf("%d bytes %.200q, want %d %.200q", size, got, len(raw), want)
		}
	})
}

func TestBrokenLinesAreReadAgain(t *testing.T) {
	l := newLineReader(io.MultiReader(strings.NewReader("2026-03-01T10:00:00Z a\n2026-03-01T10:00:01Z brok"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	p, err := l.next()
	if err != nil || string(p.text) != "a" {
		t.Fatalf("%q, %v", p.text, err)
	}
	if p, err := l.next(); err != io.ErrUnexpectedEOF {
		t.Errorf("half a line is given: %q, %v", p.text, err)
	}
}

func TestASieveHoldsWhatWasHad(t *testing.T) {
	var m mark
	for _, at := range []int{1, 5, 4, 5} { // the third of another output, a little late
		m.passed(when(at))
	}
	s := &sieve{had: m}
	var got []int
	for i, at := range []int{1, 5, 4, 5, 5, 6, 5, 7} {
		if !s.holds(piece{at: when(at)}, true) {
			got = append(got, i)
		}
	}
	if !slices.Equal(got, []int{4, 5, 6, 7}) {
		t.Errorf("passed: %v", got)
	}
	m.passed(when(0).Add(-time.Hour)) // the clock was set back
	if m.at != when(0).Add(-time.Hour) || m.lines != 1 {
		t.Errorf("%+v", m)
	}
	if s := (&sieve{had: until(when(5))}); !s.holds(piece{at: when(5)}, true) || !s.holds(piece{}, false) || s.holds(piece{at: when(6)}, true) {
		t.Error("who had everything up to an instant gets it again, or misses what follows")
	}
}

func TestWhichContainersAndHowTheyAre(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := &corev1.Pod{Spec: corev1.PodSpec{
		RestartPolicy:       corev1.RestartPolicyOnFailure,
		InitContainers:      []corev1.Container{{Name: "setup"}, {Name: "mesh", RestartPolicy: &always}},
		Containers:          []corev1.Container{{Name: "app"}, {Name: "proxy"}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}}},
	}}
	names := func(q LogQuery) string {
		var out []string
		for _, c := range q.wanted(p) {
			out = append(out, c.name)
		}
		return strings.Join(out, " ")
	}
	for want, q := range map[string]LogQuery{"app proxy": {}, "setup mesh app proxy debug": {AllContainers: true}, "setup debug": {Containers: []string{"debug", "setup", "none"}}} {
		if got := names(q); got != want {
			t.Errorf("%+v: %s", q, got)
		}
	}
	p.Annotations = map[string]string{defaultContainer: "proxy"}
	if got := names(LogQuery{}); got != "proxy" {
		t.Errorf("with one that people mean: %s", got)
	}

	ended := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
	}
	for name, c := range map[string]struct {
		state corev1.ContainerState
		edit  func(*corev1.Pod)
		want  bool
	}{
		"setup": {ended(0), nil, true}, "mesh": {ended(0), nil, false}, "app": {ended(1), nil, false}, "proxy": {ended(0), nil, true}, "debug": {ended(1), nil, true},
		"app ": {ended(1), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, true}, "setup ": {ended(1), nil, false},
		"app  ": {ended(1), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }, true}, "proxy ": {corev1.ContainerState{}, nil, false},
	} {
		p := p.DeepCopy()
		if c.edit != nil {
			c.edit(p)
		}
		for _, of := range containersOf(p) {
			if of.status = (&corev1.ContainerStatus{State: c.state}); of.name == strings.TrimSpace(name) && of.silent(p) != c.want {
				t.Errorf("%q: silent %t", name, !c.want)
			}
		}
	}
}
