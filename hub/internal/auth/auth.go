package auth

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	// cacheFor is how long an answer of the store is believed: the longest that a token revoked at another replica still works.
	cacheFor = 5 * time.Second
	// remembered bounds the cache, and the notes of when tokens were used.
	remembered = 8192
	// touchEvery is how exact a token's LastUsed is.
	touchEvery = time.Minute
)

// Config sets what strangers may do. A zero field means the default named beside it.
type Config struct {
	EachAddress  throttle.Rate // tokens not seen before, from one address; 20 a second, 100 at once
	AllAddresses throttle.Rate // in all; 500 a second, 1000 at once

	// TicketKey is what tickets are known by, 32 bytes, the same at all replicas; nil makes one that no other process has.
	TicketKey []byte
	// MaxTicket is how long a ticket may last; 8 h.
	MaxTicket time.Duration
}

func (c Config) withDefaults() Config {
	if c.EachAddress == (throttle.Rate{}) {
		c.EachAddress = throttle.Rate{PerSecond: 20, Burst: 100}
	}
	if c.AllAddresses == (throttle.Rate{}) {
		c.AllAddresses = throttle.Rate{PerSecond: 500, Burst: 1000}
	}
	if c.TicketKey == nil {
		c.TicketKey = make([]byte, 32)
		_, _ = rand.Read(c.TicketKey) // never fails: crypto/rand ends the process instead
	}
	if c.MaxTicket == 0 {
		c.MaxTicket = 8 * time.Hour
	}
	return c
}

// Tokens authenticates by API tokens and by tickets made from them, and manages them.
type Tokens struct {
	store     store.Tokens
	throttle  *throttle.Throttle
	log       *zap.Logger
	now       func() time.Time
	ticketKey []byte
	maxTicket time.Duration

	known *lru.Cache[string, answer]

	mu   sync.Mutex
	used map[string]time.Time // since Run last wrote it down
}

// answer is what the store said of a token.
type answer struct {
	hash      []byte
	principal fleet.Principal
	until     time.Time // believed without asking again
}

// New makes it. Run must be running for tokens to show when they were used.
func New(s store.Tokens, cfg Config, log *zap.Logger) *Tokens {
	cfg = cfg.withDefaults()
	known, _ := lru.New[string, answer](remembered) // fails on a size below 1 only
	return &Tokens{
		store: s, throttle: throttle.New(cfg.EachAddress, cfg.AllAddresses), log: log, now: time.Now,
		ticketKey: cfg.TicketKey, maxTicket: cfg.MaxTicket,
		known: known, used: map[string]time.Time{},
	}
}

// Authenticate tells who sends the request, by its "Authorization: Bearer" header: Unauthorized when nobody who is known,
// TooManyRequests when too many unknown tokens came from there. Principals are shared: nobody may change one.
func (t *Tokens) Authenticate(r *http.Request) (fleet.Principal, error) {
	text, ok := bearer(r)
	if !ok {
		return fleet.Principal{}, fault.New(fault.Unauthorized, "an API token is needed: Authorization: Bearer kbt1.…")
	}
	if strings.HasPrefix(text, string(credential.Ticket)+".") {
		return t.admit(r, text)
	}
	c, _ := credential.Parse(credential.API, text)
	a, seen := t.known.Get(c.ID)
	seen = seen && c.Matches(a.hash)
	if seen && t.now().Before(a.until) {
		t.note(c.ID)
		return a.principal, nil
	}
	// Whoever was known a moment ago isn't throttled, so that strangers behind the same proxy can't lock him out.
	if !seen {
		if err := t.throttle.Take(throttle.Host(r.RemoteAddr)); err != nil {
			return fleet.Principal{}, err
		}
	}
	return t.ask(r.Context(), c)
}

func bearer(r *http.Request) (string, bool) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(text), ok && strings.EqualFold(scheme, "Bearer")
}

// ask looks the token up. One that is malformed, unknown or wrong costs the same and is answered the same.
func (t *Tokens) ask(ctx context.Context, c credential.Credential) (fleet.Principal, error) {
	asked := t.now()
	token, err := t.store.Token(ctx, c.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fleet.Principal{}, err
	}
	if !c.Matches(token.SecretHash) || err != nil {
		return fleet.Principal{}, unknown()
	}
	p, err := t.believe(token, asked)
	if err == nil {
		t.note(c.ID)
	}
	return p, err
}

func unknown() error { return fault.New(fault.Unauthorized, "the API token isn't known to this hub") }

// believe keeps what the store said when it was asked.
func (t *Tokens) believe(token store.Token, asked time.Time) (fleet.Principal, error) {
	p := fleet.Principal{
		Tenant: token.Tenant, Name: token.Name, Groups: token.Groups, Bindings: token.Bindings, Token: token.ID, Expires: token.Expires,
	}
	until := asked.Add(cacheFor)
	if !token.Expires.IsZero() {
		if !t.now().Before(token.Expires) {
			return fleet.Principal{}, fault.New(fault.Unauthorized, "the API token ended at %s", token.Expires.UTC().Format(time.RFC3339))
		}
		if token.Expires.Before(until) {
			until = token.Expires
		}
	}
	t.known.Add(token.ID, answer{hash: token.SecretHash, principal: p, until: until})
	return p, nil
}

// Recheck asks whether a principal who was authenticated earlier still is, for what lasts longer than a request: the principal as it
// is now, or Unauthorized. What was begun with a ticket in time goes on after the ticket's end, until its token's: logs are followed for hours with
// tickets of minutes.
func (t *Tokens) Recheck(ctx context.Context, p fleet.Principal) (fleet.Principal, error) {
	now, err := t.holder(ctx, p.Token)
	if err != nil || p.Ticket == "" {
		return now, err
	}
	return narrowed(now, p.Ticket, p.Only), nil
}

// holder is whom a token stands for now.
func (t *Tokens) holder(ctx context.Context, id string) (fleet.Principal, error) {
	if a, ok := t.known.Peek(id); ok && t.now().Before(a.until) {
		return a.principal, nil
	}
	asked := t.now()
	token, err := t.store.Token(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		t.known.Remove(id)
		return fleet.Principal{}, fault.New(fault.Unauthorized, "the API token was revoked")
	case err != nil:
		return fleet.Principal{}, err
	}
	return t.believe(token, asked)
}

func (t *Tokens) note(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, noted := t.used[id]; noted || len(t.used) < remembered {
		t.used[id] = t.now()
	}
}

// Run writes down, once a minute and at the end, when tokens were used. It returns when the context has ended.
func (t *Tokens) Run(ctx context.Context) error {
	tick := time.NewTicker(touchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.touch(ctx)
		case <-ctx.Done():
			// The last minute's notes are worth a moment after the end.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			t.touch(last)
			return nil
		}
	}
}

func (t *Tokens) touch(ctx context.Context) {
	t.mu.Lock()
	used := t.used
	t.used = make(map[string]time.Time, len(used))
	t.mu.Unlock()
	for id, at := range used {
		if err := t.store.TouchToken(ctx, id, at); err != nil && !fault.Is(err, fault.NotFound) {
			t.log.Debug("when a token was used could not be written down", zap.String("token", id), zap.Error(err))
		}
	}
}
