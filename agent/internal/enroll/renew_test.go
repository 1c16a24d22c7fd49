package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func pendingCSR(t *testing.T, s state) *x509.CertificateRequest {
	t.Helper()
	der, err := newCSR(s.Pending)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// live keeps a session open as the uplink does: dialled again whenever it ends. It returns when ctx ends.
func live(ctx context.Context, t *testing.T, m *Member) {
	for ctx.Err() == nil {
		session, err := m.Dial(ctx, nil)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("a session was refused: %v", err)
			}
			return
		}
		client, err := session.DialGRPC()
		if err != nil {
			t.Error(err)
			return
		}
		m.Attach(session, tunnelv1.NewSyncClient(client))
		select {
		case <-session.Done():
		case <-ctx.Done():
			session.Close(nil)
		}
		_ = client.Close()
		_ = session.Wait(context.WithoutCancel(ctx))
	}
}

// start runs a member and its sessions; stop waits for both.
func start(t *testing.T, m *Member) (stop func(), failed <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() { result <- m.Run(ctx) })
	all.Go(func() { live(ctx, t, m) })
	return func() { cancel(); all.Wait() }, result
}

func member(t *testing.T, h *hub, m *memory) *Member {
	t.Helper()
	got, err := Ensure(t.Context(), config(h, &keeper{memory: m}, h.token().Full()))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// direct is a hub's sync service without a network, over a session opened with a certificate of that generation. (The multiplexer keeps timers
// from one session to the next and so can't be used on a test's own clock.)
type direct struct {
	tunnelv1.SyncClient
	h    *hub
	from int64
}

func (d direct) Renew(_ context.Context, req *tunnelv1.RenewRequest, _ ...grpc.CallOption) (*tunnelv1.RenewReply, error) {
	csr, err := x509.ParseCertificateRequest(req.GetCsr())
	if err != nil {
		return nil, err
	}
	reply, err := d.h.renew(d.from, csr)
	return reply, grpcfault.To(err)
}

// open stands for a session opened now: it lasts until ctx ends or the certificate that it was opened with.
func (h *hub) open(ctx context.Context, m *Member) (context.Context, context.CancelFunc) {
	s, _ := m.now()
	ctx, cancel := context.WithDeadline(ctx, s.Certificate.NotAfter)
	from, _ := strconv.ParseInt(s.Certificate.Subject.SerialNumber, 10, 64)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attached = attached{ctx: ctx, client: direct{h: h, from: from}, serial: serial(s)}
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return ctx, cancel
}

// Ten lifetimes on a compressed clock: each certificate is renewed over the session of the one before, replies get lost, the hub is away for
// a while, and the agent is never without.
func TestTenLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := anyHub(t, 24*time.Hour, true)
		mem := &memory{}
		m := member(t, h, mem)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				session, end := h.open(ctx, m)
				<-session.Done()
				end()
			}
		})
		for hour := range 240 {
			switch hour {
			case 50:
				h.set(func() { h.lose = 3 })
			case 100:
				h.set(func() { h.refuse = fault.New(fault.Unavailable, "an outage") })
			case 106:
				h.set(func() { h.refuse = nil })
			}
			time.Sleep(time.Hour)
			s, _ := m.now()
			if left := time.Until(s.Certificate.NotAfter); left < time.Hour {
				t.Errorf("after %d hours the certificate has %s left", hour, left)
			}
		}
		cancel()
		all.Wait()
		h.stop()
		if h.generation < 10 || h.generation > 21 || h.renewed < int(h.generation)-1+3 {
			t.Errorf("generation %d, %d certificates given", h.generation, h.renewed)
		}
		checkKeptFirst(t, mem.saves)
		if last, _ := m.now(); !mem.saves[len(mem.saves)-1].Certificate.Equal(last.Certificate) {
			t.Error("what is used is not what is kept")
		}
	})
}

// Real TLS on loopback and certificates of seconds: sessions end with the certificate they were opened with, and the next ones are admitted.
func TestLifetimesOverTheNetwork(t *testing.T) {
	t.Parallel()
	h := newHub(t, 4*time.Second)
	mem := &memory{}
	m := member(t, h, mem)
	stop, failed := start(t, m)
	eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.generation >= 3
	})
	stop()
	if err := <-failed; err != nil {
		t.Error(err)
	}
	checkKeptFirst(t, mem.saves)
}

// checkKeptFirst tells whether each certificate's key was kept before the certificate could come, and no key served twice.
func checkKeptFirst(t *testing.T, saves []state) {
	t.Helper()
	var pending *ecdsa.PrivateKey
	for i, s := range saves {
		if s.Pending != nil {
			if i > 0 && s.Pending.Equal(saves[i-1].Key) {
				t.Error("a key was asked for again after it had its certificate")
			}
			pending = s.Pending
		} else if s.Certificate == nil || pending == nil || !pending.Equal(s.Key) {
			t.Error("a certificate's key was not kept before it was asked for")
		}
	}
}

// A certificate is renewed between half and two thirds of its life, and agents that enrolled together don't renew together.
func TestDueIsSpread(t *testing.T) {
	h := newHub(t, time.Hour)
	m := member(t, h, &memory{})
	s, _ := m.now()
	low, high := 1.0, 0.0
	for range 1000 {
		m.use(s)
		_, due := m.now()
		low, high = min(low, due), max(high, due)
	}
	if low < 0.5 || low > 0.51 || high > 0.66 || high < 0.65 {
		t.Errorf("due from %.3f to %.3f", low, high)
	}
	now := time.Now()
	if age := s.age(now.Add(-time.Hour)); age < 0.66 {
		t.Errorf("with a clock that was set back the age is %.2f: it would never be due", age)
	}
	if age := s.age(now.Add(s.lifetime() / 2)); age < 0.49 || age > 0.51 {
		t.Errorf("half-way the age is %.2f", age)
	}
}

// A hub that refuses is asked once a session; the alarm is raised; at the end of the certificate Run says what to do.
func TestRefusedRenewalEndsWithASentence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := anyHub(t, time.Hour, true)
		core, logs := observer.New(zap.WarnLevel)
		cfg := config(h, &keeper{memory: &memory{}}, h.token().Full())
		cfg.Log = zap.New(core)
		m, err := Ensure(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		h.set(func() { h.refuse = fault.New(fault.Conflict, "the identity is in use twice") })
		_, end := h.open(t.Context(), m)
		if err := m.Run(t.Context()); !fault.Is(err, fault.Gone) {
			t.Errorf("Run ended with %v", err)
		}
		if at := time.Until(m.NotAfter()); at > 0 || at < -2*time.Second {
			t.Errorf("Run ended %s before the certificate", at)
		}
		end()
		h.stop()
		if n := logs.FilterMessageSnippet("refuses to renew").Len(); n != 1 {
			t.Errorf("the hub was asked %d times", n)
		}
		if n := logs.FilterMessageSnippet("nears its end").Len(); n < 3 || n > 5 {
			t.Errorf("%d alarms in the last fifth of the life", n)
		}
		if _, err := m.Dial(t.Context(), nil); !fault.Is(err, fault.Gone) {
			t.Errorf("afterwards Dial gave %v", err)
		}
	})
}

// attach opens a session to renew over; done ends it and waits for its end.
func attach(t *testing.T, m *Member) (done func()) {
	t.Helper()
	session, err := m.Dial(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := session.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	m.Attach(session, tunnelv1.NewSyncClient(client))
	return func() {
		_ = client.Close()
		session.Close(nil)
		_ = session.Wait(context.WithoutCancel(t.Context()))
	}
}

// During a roll-out two instances share an identity: the one that renews wins, the other takes over what was kept.
func TestTwoInstancesWithOneKeep(t *testing.T) {
	h := newHub(t, time.Hour)
	mem := &memory{}
	old := member(t, h, mem)
	young, err := Ensure(t.Context(), config(h, &keeper{memory: mem}, ""))
	if err != nil {
		t.Fatal(err)
	}
	renew := func(m *Member) bool {
		done := attach(t, m)
		defer done()
		s, _ := m.now()
		return (&renewal{m: m, log: zap.NewNop()}).try(t.Context(), s)
	}
	if !renew(young) || !renew(old) {
		t.Fatal("no renewal")
	}
	a, _ := young.now()
	b, _ := old.now()
	if !a.Certificate.Equal(b.Certificate) || !a.Key.Equal(b.Key) || h.generation != 2 {
		t.Errorf("they differ, or both renewed: generation %d", h.generation)
	}
}

// A session of an earlier certificate is no place to renew the present one.
func TestOnlyTheSessionOfTheCertificateRenewsIt(t *testing.T) {
	h := newHub(t, time.Hour)
	m := member(t, h, &memory{})
	done := attach(t, m)
	defer done()
	m.Attach(&tunnel.Session{}, nil) // one that Dial didn't open
	r := &renewal{m: m, log: zap.NewNop()}
	first, _ := m.now()
	if !r.try(t.Context(), first) {
		t.Fatal("no renewal")
	}
	second, _ := m.now()
	if second.Certificate.Equal(first.Certificate) || r.try(t.Context(), second) || h.renewed != 1 {
		t.Errorf("renewed %d times over one session", h.renewed)
	}
}

// What can't be kept is neither asked for nor used.
func TestNothingIsUsedUnkept(t *testing.T) {
	h := newHub(t, time.Hour)
	mem := &memory{}
	m := member(t, h, mem)
	done := attach(t, m)
	defer done()
	mem.fail = fault.New(fault.Unavailable, "no disk")
	before, _ := m.now()
	r := &renewal{m: m, log: zap.NewNop()}
	if r.try(t.Context(), before) || h.renewed != 0 {
		t.Error("the hub was asked with a key that isn't kept")
	}
	if now, _ := m.now(); !now.Certificate.Equal(before.Certificate) {
		t.Error("it is used without being kept")
	}
}
