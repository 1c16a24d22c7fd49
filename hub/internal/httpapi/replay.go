package httpapi

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Answers to requests with an Idempotency-Key are kept in memory, by principal, for a while: a request repeated because its answer was lost
// gets the same answer, and makes nothing twice. A hub that restarts, or another replica, knows nothing of them. The answers may hold secrets that
// are shown once; they are never written anywhere.
const (
	replayFor        = 10 * time.Minute
	replayPrincipals = 512
	replayEach       = 32      // answers kept of a principal
	replayBytes      = 1 << 20 // of an answer; a longer one isn't kept
	maxKey           = 128
)

type replays struct {
	mu sync.Mutex
	by *lru.Cache[owner, *lru.Cache[string, *replay]]
}

// owner tells principals apart.
type owner struct {
	tenant fleet.TenantID
	token  string
	name   string
	ticket string // where it matters by which of a token's tickets somebody came
}

func ownerOf(p fleet.Principal) owner { return owner{tenant: p.Tenant, token: p.Token, name: p.Name} }

// replay is one request and, once done is closed, its answer.
type replay struct {
	asked  [sha256.Size]byte
	until  time.Time
	done   bool
	status int
	header http.Header
	body   []byte
}

func newReplays() *replays {
	by, err := lru.New[owner, *lru.Cache[string, *replay]](replayPrincipals)
	if err != nil {
		panic(err) // a size below one, which it is not
	}
	return &replays{by: by}
}

// begin gives the answer had before, if there is one, or makes room for one.
func (r *replays) begin(o owner, key string, asked [sha256.Size]byte) (known *replay, made *replay, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, ok := r.by.Get(o)
	if !ok {
		own, err = lru.New[string, *replay](replayEach)
		if err != nil {
			return nil, nil, err
		}
		r.by.Add(o, own)
	}
	for _, k := range own.Keys() { // secrets don't stay longer than promised
		if e, ok := own.Peek(k); ok && !time.Now().Before(e.until) {
			own.Remove(k)
		}
	}
	if e, ok := own.Get(key); ok {
		switch {
		case e.asked != asked:
			return nil, nil, fault.New(fault.Conflict, "the Idempotency-Key was used for another request")
		case !e.done:
			return nil, nil, fault.New(fault.Conflict, "the same request is under way").After(time.Second)
		}
		return e, nil, nil
	}
	made = &replay{asked: asked, until: time.Now().Add(replayFor)}
	own.Add(key, made)
	return nil, made, nil
}

// finish keeps the answer, if it is one that a repetition must not change: made things, not refusals or failures.
func (r *replays) finish(o owner, key string, e *replay, status int, header http.Header, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if status >= 200 && status < 300 && len(text) <= replayBytes {
		e.done, e.status, e.header, e.body = true, status, header.Clone(), text
		return
	}
	if own, ok := r.by.Peek(o); ok {
		own.Remove(key)
	}
}

func (a *API) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		if err := a.replay(w, r, key, next); err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *API) replay(w http.ResponseWriter, r *http.Request, key string, next http.Handler) error {
	if len(key) > maxKey {
		return fault.New(fault.BadRequest, "the Idempotency-Key is too long").WithField("Idempotency-Key", "may have %d bytes", maxKey)
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit(r.URL.Path)))
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the request's body can't be read, or is longer than %d bytes", bodyLimit(r.URL.Path))
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	p := principalOf(r.Context())
	o := ownerOf(p)
	o.ticket = p.Ticket // one that may do less doesn't get the answers of one that may do more
	asked := sha256.Sum256(append([]byte(r.Method+" "+r.URL.RequestURI()+"\n"), text...))
	known, made, err := a.replays.begin(o, key, asked)
	if err != nil {
		return err
	}
	if known != nil {
		known.write(w)
		return nil
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	finished := false
	defer func() { // a panic must not leave the key taken
		if !finished {
			a.replays.finish(o, key, made, http.StatusInternalServerError, nil, nil)
		}
	}()
	next.ServeHTTP(rec, r)
	finished = true
	a.replays.finish(o, key, made, rec.status, w.Header(), rec.body.Bytes())
	return nil
}

func (e *replay) write(w http.ResponseWriter) {
	for _, name := range []string{"Content-Type", "Location"} {
		if v := e.header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.Header().Set("Idempotent-Replayed", "true")
	w.WriteHeader(e.status)
	_, _ = w.Write(e.body) // the client may be gone; there is nobody to tell
}

// recorder passes an answer on and keeps a copy.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.body.Len() <= replayBytes {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets deadlines through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
