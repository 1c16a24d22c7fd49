package pods

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// gathering decides which containers are read. Where pods are chosen by a selector and followed, it goes on doing so while they come and go.
type gathering struct {
	ctx      context.Context // of the stream
	client   client
	query    *LogQuery
	selector string
	watching bool
	most     int
	pause    time.Duration

	out   chan<- arrival
	group *sync.WaitGroup

	there   []speaker             // in the order in which they are read
	leaving map[types.UID]leaving // of pods that are or were read
	known   map[string]bool       // containers that are or were read
	first   map[string]bool       // containers that had a log at the beginning
	active  int
	ended   chan struct{} // by each source that it watches
	more    bool          // pods than were looked at
	unborn  int           // containers without a log so far
	limited *Entry        // told already that not all are read
}

// speaker is a container that has a log.
type speaker struct {
	pod       string
	uid       types.UID
	container string
	created   time.Time
	restarts  int32
}

// leaving is ended when a pod has gone.
type leaving struct {
	ctx context.Context
	end context.CancelFunc
}

// gone gives the logs of a pod some time to end by themselves, which they do where a kubelet serves them.
func (g *gathering) gone(uid types.UID) {
	if l, ok := g.leaving[uid]; ok {
		delete(g.leaving, uid)
		time.AfterFunc(linger, l.end)
	}
}

const linger = 3 * time.Second

func (s speaker) key() string { return string(s.uid) + "/" + s.container }

// find looks for what is meant; version is where a watch can begin.
func (g *gathering) find(ctx context.Context) (version string, err error) {
	if g.query.Pod != "" {
		return "", g.findOne(ctx)
	}
	if g.selector = g.query.Selector; g.selector == "" {
		if g.selector, err = g.client.selectorOf(ctx, g.query.Namespace, g.query.Owner); err != nil {
			return "", err
		}
	}
	g.watching = g.query.Follow
	f, err := g.client.list(ctx, g.query.Namespace, g.selector)
	if err != nil {
		return "", err
	}
	g.see(f)
	if len(g.there)+g.unborn == 0 && (!g.watching || len(f.pods) > 0) {
		return "", g.query.nothing(containerNames(f.pods))
	}
	return f.version, nil
}

// findOne takes a pod's containers. What can't be read is asked for all the same where nothing else is, so that the cluster says why.
func (g *gathering) findOne(ctx context.Context) error {
	p, err := g.client.pod(ctx, g.query.Namespace, g.query.Pod)
	if err != nil {
		return err
	}
	wanted := g.query.wanted(p)
	if len(wanted) == 0 {
		return g.query.nothing(containerNames([]corev1.Pod{*p}))
	}
	g.enter(p, wanted)
	if g.query.Follow || len(g.there) == 0 {
		g.there, g.unborn = nil, 0
		for _, c := range wanted {
			g.there = append(g.there, speakerOf(p, c))
		}
	}
	return nil
}

func containerNames(pods []corev1.Pod) (names []string) {
	for i := range pods {
		for _, c := range containersOf(&pods[i]) {
			names = append(names, c.name)
		}
	}
	return names
}

func speakerOf(p *corev1.Pod, c container) speaker {
	return speaker{pod: p.Name, uid: p.UID, container: c.name, created: p.CreationTimestamp.Time, restarts: c.restartCount()}
}

// see takes a list of pods for all there are, and forgets what is gone.
func (g *gathering) see(f found) {
	g.there, g.unborn, g.more = nil, 0, f.more
	for i := range f.pods {
		g.enter(&f.pods[i], g.query.wanted(&f.pods[i]))
	}
	here := map[types.UID]bool{}
	for i := range f.pods {
		here[f.pods[i].UID] = true
	}
	for uid := range g.leaving {
		if !here[uid] {
			g.gone(uid)
		}
	}
	for key := range g.known {
		if uid, _, _ := strings.Cut(key, "/"); !here[types.UID(uid)] {
			delete(g.known, key)
		}
	}
}

// enter takes a pod as it is now.
func (g *gathering) enter(p *corev1.Pod, wanted []container) {
	g.leave(p.UID)
	for _, c := range wanted {
		switch {
		case g.query.Previous && !c.spoke(), !c.speaks():
			g.unborn++
		default:
			g.there = append(g.there, speakerOf(p, c))
		}
	}
}

func (g *gathering) leave(uid types.UID) {
	g.there = slices.DeleteFunc(g.there, func(s speaker) bool { return s.uid == uid })
}

// fill makes sources of those that aren't read yet, the longest there first, as long as there is room.
func (g *gathering) fill() (started []*source) {
	slices.SortStableFunc(g.there, func(a, b speaker) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.pod, b.pod))
	})
	for _, s := range g.there {
		switch {
		case g.known[s.key()]:
		case g.active >= g.most:
			g.limit()
			return started
		default:
			g.known[s.key()] = true
			g.active++
			started = append(started, g.source(s))
		}
	}
	if g.more {
		g.limit()
	}
	return started
}

// source reads all of a container that began after the question was put, and of others what was asked for.
func (g *gathering) source(s speaker) *source {
	room := make(chan struct{}, 1)
	room <- struct{}{}
	l, ok := g.leaving[s.uid]
	if !ok {
		l.ctx, l.end = context.WithCancel(g.ctx)
		g.leaving[s.uid] = l
	}
	return &source{
		client: g.client, query: g.query, pod: s.pod, uid: s.uid, container: s.container, first: g.pause, out: g.out, room: room, leaving: l.ctx, restarts: s.restarts,
		late: g.first != nil && !g.first[s.key()],
	}
}

func (g *gathering) limit() {
	if g.limited != nil {
		return
	}
	count := fmt.Sprint(len(g.there))
	if g.more {
		count = "more than " + count
	}
	text := fmt.Sprintf("%s containers are meant; %d are read, those of the oldest pods. A pod, a container or a narrower selector says which others to read", count, g.most)
	if g.watching {
		text += "; when one of these ends, another takes its place"
	}
	g.limited = &Entry{Kind: Limited, Time: time.Now(), Text: text}
}

// read runs a source.
func (g *gathering) read(ctx context.Context, s *source) {
	g.group.Go(func() {
		s.run(ctx)
		if !g.watching {
			return
		}
		select {
		case g.ended <- struct{}{}:
		case <-ctx.Done():
		}
	})
}

// refill reads what has come since, and says so.
func (g *gathering) refill(ctx context.Context) {
	limited := g.limited
	for _, s := range g.fill() {
		s.tell(ctx, arrival{state: opening, note: s.note(Joined, "it is read from now on")})
		g.read(ctx, s)
	}
	if limited == nil && g.limited != nil {
		g.say(ctx, arrival{note: g.limited})
	}
}

func (g *gathering) say(ctx context.Context, a arrival) {
	select {
	case g.out <- a:
	case <-ctx.Done():
	}
}

// run follows the pods until ctx ends, or they can't be followed and the last that was read has ended.
func (g *gathering) run(ctx context.Context, version string) {
	err := g.follow(ctx, version)
	if ctx.Err() != nil {
		return
	}
	g.say(ctx, arrival{note: &Entry{Kind: Limited, Time: time.Now(), Text: "pods that come later are not read: " + fault.Public(err).Message}})
	for g.active > 0 && g.await(ctx) {
	}
	g.say(ctx, arrival{state: over})
}

func (g *gathering) await(ctx context.Context) bool {
	select {
	case <-g.ended:
		g.active--
		return true
	case <-ctx.Done():
		return false
	}
}

// follow watches, and lists anew when a watch ends. Its error is one that asking again doesn't mend.
func (g *gathering) follow(ctx context.Context, version string) error {
	for pause := g.pause; ; pause = min(2*pause, 20*g.pause) {
		began := time.Now()
		if err := g.watch(ctx, version); final(err) && !fault.Is(err, fault.Gone) {
			return err
		}
		if time.Since(began) > time.Minute {
			pause = g.pause
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		f, err := g.client.list(ctx, g.query.Namespace, g.selector)
		switch {
		case final(err):
			return err
		case err == nil:
			version = f.version
			g.see(f)
			g.refill(ctx)
		}
	}
}

// event is one of a watch.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// watch follows the pods' changes until the watch ends.
func (g *gathering) watch(ctx context.Context, version string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := url.Values{"watch": {"true"}, "labelSelector": {g.selector}, "resourceVersion": {version}}
	body, err := g.client.open(ctx, q, core(g.query.Namespace, "pods")...)
	if err != nil {
		return err
	}
	defer body.Close()
	events, done := make(chan event), make(chan error, 1)
	go func() { done <- decode(ctx, body, events) }() // ends with ctx or the body; waited for below
	for {
		select {
		case e := <-events:
			if !g.obey(ctx, e) {
				cancel()
				<-done
				return nil
			}
		case <-g.ended:
			g.active--
			g.refill(ctx)
		case err := <-done:
			return err
		}
	}
}

// maxEvent bounds an event, in bytes; an API server has no object that is near as large.
const maxEvent = 16 << 20

func decode(ctx context.Context, body io.Reader, events chan<- event) error {
	bounded := &io.LimitedReader{R: body}
	for dec := json.NewDecoder(bounded); ; {
		var e event
		bounded.N = maxEvent
		if err := dec.Decode(&e); err != nil {
			return broken(ctx, err)
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// obey takes a change in; false when the watch is of no more use.
func (g *gathering) obey(ctx context.Context, e event) bool {
	var p corev1.Pod
	if e.Type == "ERROR" || json.Unmarshal(e.Object, &p) != nil {
		return false
	}
	switch e.Type {
	case "ADDED", "MODIFIED":
		g.enter(&p, g.query.wanted(&p))
	case "DELETED":
		g.leave(p.UID)
		g.gone(p.UID)
		for key := range g.known {
			if strings.HasPrefix(key, string(p.UID)+"/") {
				delete(g.known, key)
			}
		}
	}
	g.refill(ctx)
	return true
}
