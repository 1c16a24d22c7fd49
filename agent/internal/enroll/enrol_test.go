package enroll

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// memory is a Keep that tells what was saved, fails when it is told to, and notices other processes' saves as a Secret does.
type memory struct {
	mu      sync.Mutex
	text    []byte
	version int
	saves   []state
	fail    error
}

// keeper is one process's view of a memory.
type keeper struct {
	*memory
	seen int
}

func (k *keeper) Load(context.Context) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = k.version
	if k.text == nil {
		return nil, fault.New(fault.NotFound, "nothing yet")
	}
	return k.text, nil
}

func (k *keeper) Save(_ context.Context, text []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	if k.seen != k.version {
		return fault.New(fault.Conflict, "somebody else saved")
	}
	s, err := unmarshal(text)
	if err != nil {
		return err
	}
	k.version++
	k.seen, k.text, k.saves = k.version, text, append(k.saves, s)
	return nil
}

func config(h *hub, k Keep, token string) Config {
	return Config{
		Endpoint: h.endpoint, Token: token, Keep: k, Log: zap.NewNop(),
		KubeUID: func(context.Context) (string, error) { return "uid", nil },
	}
}

func TestEnsureEnrolsOnceAndRemembers(t *testing.T) {
	h := newHub(t, time.Hour)
	token := h.token().Full()
	m := &memory{}
	first, err := Ensure(t.Context(), config(h, &keeper{memory: m}, token))
	if err != nil {
		t.Fatal(err)
	}
	if first.Tenant() != "t" || first.Cluster() != "c" || time.Until(first.NotAfter()) < 59*time.Minute {
		t.Errorf("member %s/%s until %s", first.Tenant(), first.Cluster(), first.NotAfter())
	}
	// A restart, with the token and without, uses what is kept.
	for _, again := range []string{token, ""} {
		m2, err := Ensure(t.Context(), config(h, &keeper{memory: m}, again))
		if err != nil || !m2.state.Certificate.Equal(first.state.Certificate) || !m2.state.Key.Equal(first.state.Key) {
			t.Errorf("after a restart: %v", err)
		}
	}
	session, err := first.Dial(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	session.Close(nil)
	if h.enrolled != 1 {
		t.Errorf("enrolled %d times", h.enrolled)
	}
}

// Keys are kept before the hub hears of them; the replies that get lost, and the process that dies after one, cost nothing.
func TestLostReplies(t *testing.T) {
	h := newHub(t, time.Hour)
	token := h.token().Full()
	m := &memory{}
	h.lose = 1
	cfg := config(h, &keeper{memory: m}, token)
	cfg.Endpoint.ServerName = join.HubName
	e := &enrolment{cfg: cfg, token: parsed(t, token)}
	if _, err := e.attempt(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("the lost reply gave %v", err)
	}
	// Here the process dies.
	member, err := Ensure(t.Context(), config(h, &keeper{memory: m}, token))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.saves) != 3 || m.saves[0].Pending == nil || !m.saves[0].Pending.Equal(member.state.Key) || !m.saves[0].Identity.Equal(member.state.Identity) {
		t.Errorf("the keys that were sent first are not those that count: %d saves", len(m.saves))
	}
	if h.enrolled != 2 || h.generation != 1 {
		t.Errorf("enrolled %d times, generation %d", h.enrolled, h.generation)
	}
}

func parsed(t *testing.T, text string) *join.Token {
	t.Helper()
	token, err := join.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return &token
}

func TestRefusalsStopWithASentence(t *testing.T) {
	h := newHub(t, time.Hour)
	used := h.token()
	if _, err := Ensure(t.Context(), config(h, &keeper{memory: &memory{}}, used.Full())); err != nil {
		t.Fatal(err)
	}
	wrongPin := h.token()
	wrongPin.Pin[3] ^= 1
	noUID := config(h, nil, h.token().Full())
	noUID.KubeUID = func(context.Context) (string, error) {
		return "", fault.New(fault.Forbidden, "kube-system may not be read")
	}
	cases := []struct {
		name string
		cfg  Config
		code fault.Code
		says string
	}{
		{"nothing at all", config(h, nil, ""), fault.BadRequest, "no join token"},
		{"a text that is no token", config(h, nil, "hello"), fault.BadRequest, "no join token"},
		{"an unknown token", config(h, nil, join.NewToken(used.Pin).Full()), fault.Unauthorized, "isn't known"},
		{"a token that another agent used", config(h, nil, used.Full()), fault.Conflict, "another agent"},
		{"no UID", noUID, fault.Forbidden, "kube-system"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Keep = &keeper{memory: &memory{}}
			_, err := Ensure(t.Context(), c.cfg)
			if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	// A server without the pinned root is never told the token.
	before := h.enrolled
	_, err := Ensure(t.Context(), config(h, &keeper{memory: &memory{}}, wrongPin.Full()))
	if !fault.Is(err, fault.Unauthorized) || h.enrolled != before || h.tokens[wrongPin.ID] != nil {
		t.Errorf("with a wrong pin: %v", err)
	}
}

func TestWaitsForAHubThatIsAway(t *testing.T) {
	h := newHub(t, time.Hour)
	h.refuse = fault.New(fault.Unavailable, "starting").After(20 * time.Millisecond)
	core, logs := observer.New(zap.DebugLevel)
	token := h.token()
	cfg := config(h, &keeper{memory: &memory{}}, token.Full())
	cfg.Log = zap.New(core)
	done := make(chan error, 1)
	go func() {
		_, err := Ensure(t.Context(), cfg)
		done <- err
	}()
	eventually(t, func() bool { return logs.Len() > 0 })
	h.set(func() { h.refuse = nil })
	if err := <-done; err != nil {
		t.Error(err)
	}
	if strings.Contains(fmt.Sprintf("%+v", logs.All()), token.Secret) {
		t.Error("the token was logged")
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about in 20 s")
		}
	}
}

func TestNewTokenEnrolsAnew(t *testing.T) {
	h := newHub(t, time.Hour)
	m := &memory{}
	first, err := Ensure(t.Context(), config(h, &keeper{memory: m}, h.token().Full()))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Ensure(t.Context(), config(h, &keeper{memory: m}, h.token().Full()))
	if err != nil || second.state.Key.Equal(first.state.Key) || !second.state.Identity.Equal(first.state.Identity) {
		t.Errorf("with a new token: %v", err)
	}
	// One that is refused changes nothing as long as the certificate holds…
	third, err := Ensure(t.Context(), config(h, &keeper{memory: m}, join.NewToken(tunnel.PinOf(h.root)).Full()))
	if err != nil || !third.state.Certificate.Equal(second.state.Certificate) {
		t.Errorf("with a token that is refused: %v", err)
	}
	// …and says what to do when it doesn't.
	ended := second.state
	h.lifetime = -time.Minute
	h.set(func() { h.serials = map[string]bool{} })
	pending, _ := ended.withPending()
	csr := pendingCSR(t, pending)
	ended.Certificate, ended.Key = h.issue(csr, 9), pending.Pending
	text, err := ended.marshal()
	if err != nil {
		t.Fatal(err)
	}
	m.text = text
	_, err = Ensure(t.Context(), config(h, &keeper{memory: m}, ""))
	if !fault.Is(err, fault.Gone) || !strings.Contains(err.Error(), "new join token") {
		t.Errorf("an ended certificate: %v", err)
	}
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "agent")
	k := Dir(path)
	if _, err := k.Load(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("before anything was saved: %v", err)
	}
	for _, text := range []string{"one", "two"} {
		if err := k.Save(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := k.Load(t.Context())
		if err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	entries, _ := os.ReadDir(path)
	info, err := os.Stat(filepath.Join(path, "identity.json"))
	dirInfo, errDir := os.Stat(path)
	if err := errors.Join(err, errDir); err != nil || info.Mode().Perm() != 0o600 || dirInfo.Mode().Perm() != 0o700 || len(entries) != 1 {
		t.Errorf("%v, %d entries", err, len(entries))
	}
}

func FuzzUnmarshal(f *testing.F) {
	s, err := newState()
	if err != nil {
		f.Fatal(err)
	}
	text, _ := s.marshal()
	f.Add(text)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"identityKey":"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := unmarshal(text)
		if err != nil {
			return
		}
		if s.Identity == nil || (s.Certificate != nil && (s.Key == nil || len(s.Trust) == 0)) {
			t.Fatalf("half a state passed: %q", text)
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unmarshal(again); err != nil {
			t.Fatal(err)
		}
	})
}
