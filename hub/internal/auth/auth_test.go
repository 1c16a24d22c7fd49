package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory keeps tokens in a map and counts what it is asked.
type memory struct {
	mu      sync.Mutex
	tokens  map[string]store.Token
	asked   int
	touched []string
	down    bool
}

func (m *memory) PutToken(_ context.Context, t store.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[t.ID] = t
	return nil
}

func (m *memory) Token(_ context.Context, id string) (store.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.down {
		return store.Token{}, fault.New(fault.Unavailable, "the database is down")
	}
	if t, ok := m.tokens[id]; ok {
		return t, nil
	}
	return store.Token{}, fault.New(fault.NotFound, "no such token")
}

func (m *memory) Tokens(_ context.Context, tenant fleet.TenantID) (list []store.Token, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.Tenant == tenant {
			list = append(list, t)
		}
	}
	return list, nil
}

func (m *memory) DeleteToken(_ context.Context, tenant fleet.TenantID, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens[id].Tenant != tenant {
		return fault.New(fault.NotFound, "no such token")
	}
	delete(m.tokens, id)
	return nil
}

func (m *memory) TouchToken(ctx context.Context, id string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched = append(m.touched, id)
	return ctx.Err()
}

func (m *memory) touches() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.touched)
}

func request(header string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return r
}

const tenant = fleet.TenantID(7)

func fixture(t *testing.T, cfg Config) (*Tokens, *memory, string) {
	t.Helper()
	m := &memory{tokens: map[string]store.Token{}}
	tokens := New(m, cfg, zap.NewNop())
	text, err := tokens.Bootstrap(t.Context(), tenant)
	if err != nil || text == "" {
		t.Fatalf("no bootstrap token: %v", err)
	}
	return tokens, m, text
}

func TestAuthenticate(t *testing.T) {
	tokens, _, text := fixture(t, Config{})
	c, _ := credential.Parse(credential.API, text)
	wrong := credential.New(credential.API)
	mixed := credential.Credential{Kind: credential.API, ID: c.ID, Secret: wrong.Secret}
	cases := map[string]bool{
		"Bearer " + text:                      true,
		"bearer  " + text:                     true,
		"":                                    false,
		"Bearer":                              false,
		"Bearer ":                             false,
		text:                                  false,
		"Basic " + text:                       false,
		"Bearer " + wrong.Text():              false,
		"Bearer " + mixed.Text():              false,
		"Bearer " + text + "x":                false,
		"Bearer " + strings.ToUpper(text):     false,
		"Bearer kbl1" + text[len("kbt1"):]:    false,
		"Bearer kbt1." + c.ID + ".":           false,
		"Bearer " + strings.Repeat("a", 4096): false,
	}
	for range 2 { // the second time, the right one comes from the cache
		for header, want := range cases {
			p, err := tokens.Authenticate(request(header))
			if (err == nil) != want || (err != nil && !fault.Is(err, fault.Unauthorized)) {
				t.Errorf("%.60q: %v", header, err)
			}
			if err == nil && (p.Tenant != tenant || p.Token != c.ID || !fleet.Can(p, fleet.Admin, fleet.Scope{Tenant: tenant})) {
				t.Errorf("principal %+v", p)
			}
			if err != nil && strings.Contains(err.Error(), c.Secret) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		}
	}
}

// One look-up serves the requests of some seconds; what was revoked elsewhere stops working within them.
func TestCacheAndRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, m, text := fixture(t, Config{})
		good := request("Bearer " + text)
		for range 100 {
			if _, err := tokens.Authenticate(good); err != nil {
				t.Fatal(err)
			}
		}
		if m.asked != 1 {
			t.Errorf("100 requests asked the store %d times", m.asked)
		}
		p, _ := tokens.Authenticate(good)
		_ = m.DeleteToken(t.Context(), tenant, p.Token) // by another replica
		time.Sleep(cacheFor)
		if _, err := tokens.Authenticate(good); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%s after its revocation elsewhere the token gave %v", cacheFor, err)
		}
		if _, err := tokens.Recheck(t.Context(), p); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("a stream of it was told %v", err)
		}
	})
}

func TestRevocationHereIsImmediate(t *testing.T) {
	tokens, _, text := fixture(t, Config{})
	p, err := tokens.Authenticate(request("Bearer " + text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Recheck(t.Context(), p); err != nil {
		t.Errorf("recheck before: %v", err)
	}
	if err := tokens.Revoke(t.Context(), tenant+1, p.Token); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant revoked it: %v", err)
	}
	if err := tokens.Revoke(t.Context(), tenant, p.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Authenticate(request("Bearer " + text)); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("authenticate: %v", err)
	}
	if _, err := tokens.Recheck(t.Context(), p); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("recheck: %v", err)
	}
}

func TestExpiryEndsTheCacheToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, _, text := fixture(t, Config{})
		admin, _ := tokens.Authenticate(request("Bearer " + text))
		_, short, err := tokens.Issue(t.Context(), admin, NewToken{Name: "short", Bindings: admin.Bindings, Expires: time.Now().Add(2 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := tokens.Authenticate(request("Bearer " + short))
		if err != nil || p.Expires.IsZero() {
			t.Fatalf("%+v, %v", p, err)
		}
		time.Sleep(2 * time.Second)
		if _, err := tokens.Authenticate(request("Bearer " + short)); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestStrangersAreThrottledAndTheKnownAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, m, text := fixture(t, Config{EachAddress: throttle.Rate{PerSecond: 1, Burst: 3}})
		good := request("Bearer " + text)
		if _, err := tokens.Authenticate(good); err != nil {
			t.Fatal(err)
		}
		asked := m.asked
		var last error
		for range 50 {
			_, last = tokens.Authenticate(request("Bearer " + credential.New(credential.API).Text()))
		}
		if !fault.Is(last, fault.TooManyRequests) || m.asked-asked > 3 {
			t.Errorf("strangers made the store work %d times, and ended with %v", m.asked-asked, last)
		}
		time.Sleep(cacheFor) // the good one must be looked up again now, from the same address; the bucket is refilled by strangers' next
		for range 10 {
			_, _ = tokens.Authenticate(request("Bearer " + credential.New(credential.API).Text()))
		}
		if _, err := tokens.Authenticate(good); err != nil {
			t.Errorf("the known one was locked out: %v", err)
		}
	})
}

func TestStoreFailureIsNotAnUnknownToken(t *testing.T) {
	tokens, m, text := fixture(t, Config{})
	m.down = true
	if _, err := tokens.Authenticate(request("Bearer " + text)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestTouchedOnceAMinuteAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, m, text := fixture(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tokens.Run(ctx) }()
		use := func() {
			for range 20 {
				_, _ = tokens.Authenticate(request("Bearer " + text))
			}
		}
		use()
		if m.touches() != 0 {
			t.Error("it was written down on the request's path")
		}
		time.Sleep(touchEvery + time.Second)
		synctest.Wait()
		if m.touches() != 1 {
			t.Errorf("written down %d times in the first minute", m.touches())
		}
		use()
		cancel()
		if err := <-done; err != nil || m.touches() != 2 {
			t.Errorf("at the end: %v, written down %d times", err, m.touches())
		}
	})
}

func TestIssue(t *testing.T) {
	tokens, _, text := fixture(t, Config{})
	admin, err := tokens.Authenticate(request("Bearer " + text))
	if err != nil {
		t.Fatal(err)
	}
	star := []string{"*"}
	id := fleet.ClusterID(3).String()
	ends := time.Now().Add(time.Hour)
	some := fleet.Principal{ // an admin who can't delete, in no group but ops, until ends
		Tenant: tenant, Name: "sam", Groups: []string{"ops"}, Expires: ends,
		Bindings: []fleet.Binding{{Verbs: []string{"admin", "get"}, Clusters: star, Namespaces: star}},
	}
	nobody := fleet.Principal{Tenant: tenant, Bindings: []fleet.Binding{{Verbs: []string{"get"}, Clusters: star, Namespaces: star}}}
	gets := []fleet.Binding{{Verbs: []string{"get"}, Clusters: []string{id}, Namespaces: []string{"shop"}}}
	b := func(verbs, clusters, namespaces []string) []fleet.Binding {
		return []fleet.Binding{{Verbs: verbs, Clusters: clusters, Namespaces: namespaces}}
	}
	cases := []struct {
		name string
		by   fleet.Principal
		want NewToken
		code fault.Code // "" when it is made
	}{
		{"plain", admin, NewToken{Name: "ci", Bindings: gets}, ""},
		{"any group, by who may do everything", admin, NewToken{Name: "ci", Groups: []string{"dev"}, Bindings: gets}, ""},
		{"less than own", some, NewToken{Name: "ci", Groups: []string{"ops"}, Bindings: gets}, ""},
		{"not an admin", nobody, NewToken{Name: "ci", Bindings: gets}, fault.Forbidden},
		{"an admin of another tenant's", fleet.Principal{Tenant: tenant}, NewToken{Name: "ci", Bindings: gets}, fault.Forbidden},
		{"more than own", some, NewToken{Name: "ci", Bindings: b([]string{"delete"}, star, star)}, fault.Forbidden},
		{"all verbs, of some", some, NewToken{Name: "ci", Bindings: b(star, star, star)}, fault.Forbidden},
		{"another's group", some, NewToken{Name: "ci", Groups: []string{"root"}, Bindings: gets}, fault.Forbidden},
		{"longer than own", some, NewToken{Name: "ci", Bindings: gets, Expires: ends.Add(time.Hour)}, fault.Forbidden},
		{"no name", admin, NewToken{Name: " ", Bindings: gets}, fault.BadRequest},
		{"a name of Kubernetes", admin, NewToken{Name: "system:admin", Bindings: gets}, fault.BadRequest},
		{"a group of Kubernetes", admin, NewToken{Name: "ci", Groups: []string{"system:masters"}, Bindings: gets}, fault.BadRequest},
		{"a line break in the name", admin, NewToken{Name: "a\nb", Bindings: gets}, fault.BadRequest},
		{"no bindings", admin, NewToken{Name: "ci"}, fault.BadRequest},
		{"an unknown verb", admin, NewToken{Name: "ci", Bindings: b([]string{"gett"}, star, star)}, fault.BadRequest},
		{"a cluster by name", admin, NewToken{Name: "ci", Bindings: b(star, []string{"east"}, star)}, fault.BadRequest},
		{"cluster zero", admin, NewToken{Name: "ci", Bindings: b(star, []string{fleet.ClusterID(0).String()}, star)}, fault.BadRequest},
		{"an empty namespace", admin, NewToken{Name: "ci", Bindings: b(star, star, []string{""})}, fault.BadRequest},
		{"no namespaces", admin, NewToken{Name: "ci", Bindings: b(star, star, nil)}, fault.BadRequest},
		{"too many", admin, NewToken{Name: "ci", Bindings: b(star, star, slices.Repeat([]string{"a"}, maxTriples+1))}, fault.BadRequest},
		{"past", admin, NewToken{Name: "ci", Bindings: gets, Expires: time.Now().Add(-time.Second)}, fault.BadRequest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			made, text, err := tokens.Issue(t.Context(), c.by, c.want)
			if c.code != "" {
				if !fault.Is(err, c.code) || text != "" {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := tokens.Authenticate(request("Bearer " + text))
			if err != nil || p.Token != made.ID || p.Name != "ci" || !p.Expires.Equal(c.by.Expires) {
				t.Errorf("it authenticates as %+v, %v", p, err)
			}
		})
	}
}

func TestBootstrapOnce(t *testing.T) {
	tokens, m, _ := fixture(t, Config{})
	if text, err := tokens.Bootstrap(t.Context(), tenant); text != "" || err != nil {
		t.Errorf("a second one: %v", err)
	}
	if text, err := tokens.Bootstrap(t.Context(), tenant+1); text == "" || err != nil {
		t.Errorf("none for another tenant: %v", err)
	}
	if len(m.tokens) != 2 {
		t.Errorf("%d tokens", len(m.tokens))
	}
}

// Neither what is kept nor what is logged holds a secret.
func TestNothingKeepsTheSecret(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	m := &memory{tokens: map[string]store.Token{}}
	tokens := New(m, Config{}, zap.New(core))
	first, err := tokens.Bootstrap(t.Context(), tenant)
	admin, errAuth := tokens.Authenticate(request("Bearer " + first))
	_, second, errIssue := tokens.Issue(t.Context(), admin, NewToken{Name: "x", Bindings: admin.Bindings})
	if err := errors.Join(err, errAuth, errIssue); err != nil {
		t.Fatal(err)
	}
	kept := fmt.Sprintf("%+v %+v %+v", m.tokens, logs.All(), admin)
	for _, text := range []string{first, second} {
		c, _ := credential.Parse(credential.API, text)
		if strings.Contains(kept, c.Secret) {
			t.Error("a secret was kept or logged")
		}
	}
}
