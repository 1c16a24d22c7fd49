package auth

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

var (
	east = fleet.ClusterID(5)
	west = fleet.ClusterID(6)
)

// admit gives the administrator of a fixture, with a ticket of theirs.
func admit(t *testing.T, tokens *Tokens, text string) fleet.Principal {
	t.Helper()
	p, err := tokens.Authenticate(request("Bearer " + text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ticket(t *testing.T, tokens *Tokens, by fleet.Principal, lasts time.Duration, cluster fleet.ClusterID) (string, time.Time) {
	t.Helper()
	text, expires, err := tokens.Ticket(t.Context(), by, lasts, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return text, expires
}

func TestTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, m, text := fixture(t, Config{MaxTicket: time.Hour})
		boss := admit(t, tokens, text)
		made, expires := ticket(t, tokens, boss, 0, 0)
		if left := time.Until(expires); left > DefaultTicket || left < DefaultTicket-time.Second {
			t.Errorf("it lasts %s", left)
		}
		asked := m.asked
		p := admit(t, tokens, made)
		if p.Name != boss.Name || p.Token != boss.Token || p.Ticket == "" || !p.Expires.Equal(expires) || p.Tenant != tenant {
			t.Errorf("principal %+v", p)
		}
		if m.asked != asked {
			t.Error("a ticket of a token that is known asked the store")
		}
		if !fleet.Can(p, fleet.Admin, fleet.Scope{Tenant: tenant}) {
			t.Error("it can't do what its token can")
		}
		again, err := tokens.Recheck(t.Context(), p)
		if err != nil || again.Ticket != p.Ticket || !again.Expires.IsZero() {
			t.Errorf("recheck: %+v, %v", again, err)
		}
		if longest, until := ticket(t, tokens, boss, -1, 0); longest == "" || time.Until(until) < time.Hour-time.Second {
			t.Errorf("the longest ends %s", until)
		}
		time.Sleep(time.Until(expires))
		if _, err := tokens.Authenticate(request("Bearer " + made)); !fault.Is(err, fault.Unauthorized) || !strings.Contains(err.Error(), "ended at") {
			t.Errorf("after its end: %v", err)
		}
		if _, err := tokens.Recheck(t.Context(), again); err != nil {
			t.Errorf("what was begun with it in time: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// A ticket for a cluster can do there what its token can, and nothing anywhere else; what is made from it is no more.
func TestTicketForOneCluster(t *testing.T) {
	tokens, _, text := fixture(t, Config{})
	made, _ := ticket(t, tokens, admit(t, tokens, text), time.Hour, east)
	p := admit(t, tokens, made)
	can := func(p fleet.Principal, c fleet.ClusterID) bool {
		return fleet.Can(p, fleet.Delete, fleet.Scope{Tenant: tenant, Cluster: c, Namespace: "shop"})
	}
	if !can(p, east) || can(p, west) || can(p, 0) || p.Only != east {
		t.Errorf("it may do %+v", p.Bindings)
	}
	if again, err := tokens.Recheck(t.Context(), p); err != nil || can(again, west) || !can(again, east) {
		t.Errorf("rechecked it may do %+v, %v", again.Bindings, err)
	}
	if _, _, err := tokens.Ticket(t.Context(), p, 0, west); !fault.Is(err, fault.NotFound) {
		t.Errorf("a ticket for another cluster: %v", err)
	}
	child, until := ticket(t, tokens, p, 8*time.Hour, 0)
	q := admit(t, tokens, child)
	if until.After(p.Expires) || can(q, west) || q.Only != east || q.Token != p.Token {
		t.Errorf("a ticket made from a ticket is more than that: %+v", q)
	}
	if _, _, err := tokens.Issue(t.Context(), p, NewToken{Name: "mine", Bindings: p.Bindings}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("it made a token: %v", err)
	}
}

func TestTicketMakesNothingThatOutlivesIt(t *testing.T) {
	tokens, _, text := fixture(t, Config{})
	boss := admit(t, tokens, text)
	made, expires := ticket(t, tokens, boss, time.Minute, 0)
	p := admit(t, tokens, made)
	if got, _, err := tokens.Issue(t.Context(), p, NewToken{Name: "mine", Bindings: boss.Bindings}); err != nil || !got.Expires.Equal(expires) {
		t.Errorf("an API token that ends at %s, %v", got.Expires, err)
	}
	if _, _, err := tokens.Issue(t.Context(), p, NewToken{Name: "mine", Bindings: boss.Bindings, Expires: expires.Add(time.Hour)}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("an API token that lasts longer: %v", err)
	}
	for _, lasts := range []time.Duration{time.Millisecond, 9 * time.Hour} {
		if _, _, err := tokens.Ticket(t.Context(), boss, lasts, 0); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%s: %v", lasts, err)
		}
	}
}

func TestTicketEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, m, text := fixture(t, Config{EachAddress: throttle.Rate{PerSecond: 1, Burst: 3}})
		made, _ := ticket(t, tokens, admit(t, tokens, text), 0, 0)
		p := admit(t, tokens, made)
		_ = m.DeleteToken(t.Context(), tenant, p.Token) // by another replica
		time.Sleep(cacheFor)
		for name, err := range map[string]error{"authenticate": second(tokens.Authenticate(request("Bearer " + made))), "recheck": second(tokens.Recheck(t.Context(), p))} {
			if !fault.Is(err, fault.Unauthorized) {
				t.Errorf("%s, its token revoked: %v", name, err)
			}
		}
		asked := m.asked
		var last error
		for range 50 {
			_, last = tokens.Authenticate(request("Bearer " + made))
		}
		if m.asked-asked > 3 || !fault.Is(last, fault.TooManyRequests) {
			t.Errorf("a revoked token's ticket made the store work %d times, and ended with %v", m.asked-asked, last)
		}
	})
}

// What nobody here made costs no look-up, and takes nothing from those who are known.
func TestForgedTickets(t *testing.T) {
	tokens, m, text := fixture(t, Config{EachAddress: throttle.Rate{PerSecond: 1, Burst: 3}})
	boss := admit(t, tokens, text)
	good, expires := ticket(t, tokens, boss, 0, 0)
	said, _ := claims{token: boss.Token, tenant: tenant, expires: expires.Add(time.Hour)}.bytes()
	foreign, _ := claims{token: boss.Token, tenant: tenant + 1, expires: expires}.bytes()
	other := New(m, Config{}, zap.NewNop())
	elsewhere, _ := ticket(t, other, boss, 0, 0)
	asked := m.asked
	for name, bad := range map[string]string{
		"without a key":              credential.Seal(credential.Ticket, nil, said).Text(),
		"with the key of zeros":      credential.Seal(credential.Ticket, make([]byte, 32), said).Text(),
		"by another hub":             elsewhere,
		"cut":                        good[:len(good)-4],
		"the token's own id":         "kbs1." + boss.Token + "." + strings.Split(good, ".")[2],
		"claims of another length":   credential.Seal(credential.Ticket, tokens.ticketKey, said[:20]).Text(),
		"of the token's namesake":    credential.Seal(credential.Ticket, tokens.ticketKey, foreign).Text(),
		"the API token, as a ticket": "kbs1" + strings.TrimPrefix(text, "kbt1"),
		"nothing":                    "kbs1.",
	} {
		for range 20 {
			if _, err := tokens.Authenticate(request("Bearer " + bad)); !fault.Is(err, fault.Unauthorized) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if m.asked != asked {
		t.Errorf("the store was asked %d times", m.asked-asked)
	}
	if p := admit(t, tokens, good); p.Token != boss.Token {
		t.Errorf("%+v", p)
	}
}

func FuzzTicket(f *testing.F) {
	tokens := New(&memory{}, Config{TicketKey: []byte("key")}, zap.NewNop())
	said, _ := claims{token: credential.New(credential.API).ID, tenant: tenant, cluster: east, expires: time.Unix(1<<40, 0)}.bytes()
	f.Add(said, credential.Seal(credential.Ticket, []byte("other"), said).Text())
	f.Add([]byte{}, "kbs1..")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		if c, ok := parseClaims(raw); ok {
			if back, err := c.bytes(); err != nil || string(back) != string(raw) {
				t.Fatalf("%x became %+v became %x, %v", raw, c, back, err)
			}
		}
		if _, err := tokens.Authenticate(request("Bearer kbs1." + strings.TrimPrefix(text, "kbs1."))); !fault.Is(err, fault.Unauthorized) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
