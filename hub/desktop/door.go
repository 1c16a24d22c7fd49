package desktop

import (
	"crypto/sha256"
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kubilitics/kubilitics/hub/internal/httpapi"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// door stands before every route of the hub. Anything on this machine, and any page in its browser, can reach a port of the loopback interface: so it
// looks by what name it was called and by whose page, before anything else is done, and lets nobody in without the token. The token is in no cookie: those
// are sent to every port of a host, so that other programs on this machine would be given it.
type door struct {
	token      credential.Credential
	hash       []byte
	others     []string // origins beside its own
	hosts      []string // names that it goes by, with the port; set once, before it serves
	port       int
	kubeconfig func() Status

	mu    sync.Mutex
	codes [][sha256.Size]byte // of links not yet used, the newest last
}

// maxCodes bounds the links that nobody used.
const maxCodes = 16

func newDoor(token credential.Credential, others []string) *door {
	return &door{token: token, hash: token.Hash(), others: others}
}

// at says where it is.
func (d *door) at(port int) {
	d.port = port
	for _, name := range []string{"127.0.0.1", "localhost", "[::1]"} {
		d.hosts = append(d.hosts, name+":"+strconv.Itoa(port))
	}
}

// link is an address of the page that lets whoever comes by it first in. What a browser is started with can be read by everybody on a machine: so the
// token isn't in it, and by the time it could be read it is used up. The code is in the fragment, which is sent nowhere.
func (d *door) link() string {
	code := credential.New(credential.API).Secret
	d.mu.Lock()
	defer d.mu.Unlock()
	d.codes = append(d.codes, sha256.Sum256([]byte(code)))
	d.codes = d.codes[max(0, len(d.codes)-maxCodes):]
	return "http://" + d.hosts[0] + "/#open=" + code
}

// use tells whether a code is one of a link, which it is once. Hashes are compared: how long that takes tells nothing of the code.
func (d *door) use(code string) bool {
	sum := sha256.Sum256([]byte(code))
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.codes, sum)
	if i < 0 {
		return false
	}
	d.codes = slices.Delete(d.codes, i, i+1)
	return true
}

// guard puts the door before the hub's.
func (d *door) guard(doors http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.check(r); err != nil {
			refuse(w, r, err)
			return
		}
		switch {
		case r.URL.Path == "/", strings.HasPrefix(r.URL.Path, "/desktop/page/"):
			servePage(w, r)
		case strings.HasPrefix(r.URL.Path, "/desktop/v1/"):
			d.own(w, r)
		default:
			doors.ServeHTTP(w, r)
		}
	})
}

// check looks by what name the request came, and from whose page.
func (d *door) check(r *http.Request) error {
	if !slices.Contains(d.hosts, strings.ToLower(r.Host)) {
		return fault.New(fault.Forbidden, "this is the desktop of one person, and goes by no such name: use http://%s", d.hosts[0])
	}
	origins := r.Header.Values("Origin")
	for _, o := range origins {
		if !d.ours(o) {
			return fault.New(fault.Forbidden, "pages of other sites may not call this")
		}
	}
	// Browsers send no Origin with a plain GET of another page, but say where it comes from. A person may follow a link to the page itself.
	site := r.Header.Get("Sec-Fetch-Site")
	foreign := site == "cross-site" || site == "same-site" // another port of this machine is "same-site"
	visit := r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	if foreign && len(origins) == 0 && !visit {
		return fault.New(fault.Forbidden, "pages of other sites may not call this")
	}
	return nil
}

func (d *door) ours(origin string) bool {
	origin = strings.ToLower(origin)
	if slices.ContainsFunc(d.others, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "/"), origin) }) {
		return true
	}
	host, plain := strings.CutPrefix(origin, "http://")
	if !plain {
		host, plain = strings.CutPrefix(origin, "https://")
	}
	return plain && slices.Contains(d.hosts, host)
}

// refuse answers in the words of whoever was meant.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Cache-Control", "no-store")
	if strings.HasPrefix(r.URL.Path, httpapi.KubeRoot) {
		kube.WriteStatus(w, err)
		return
	}
	httpfault.Write(w, "", err)
}

// own are the desktop's routes.
func (d *door) own(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method+" "+r.URL.Path == "POST /desktop/v1/open" {
		d.letIn(w, r)
		return
	}
	if !d.knows(r) {
		refuse(w, r, fault.New(fault.Unauthorized, "the token of this launch is needed: Authorization: Bearer kbt1.…"))
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /desktop/v1/links":
		answer(w, map[string]string{"open": d.link()})
	case "GET /desktop/v1/kubeconfig":
		answer(w, d.kubeconfig())
	default:
		refuse(w, r, fault.New(fault.NotFound, "there is nothing for %s at %s", r.Method, r.URL.Path))
	}
}

// knows compares in constant time.
func (d *door) knows(r *http.Request) bool {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	c, ok := credential.Parse(credential.API, strings.TrimSpace(text))
	return strings.EqualFold(scheme, "Bearer") && c.Matches(d.hash) && ok && c.ID == d.token.ID
}

// letIn gives the token for a link's code.
func (d *door) letIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Code string `json:"code"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1024))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	switch {
	case err != nil:
		refuse(w, r, fault.Wrap(err, fault.BadRequest, `the body must be {"code": "…"}`))
	case !d.use(in.Code):
		refuse(w, r, fault.New(fault.Unauthorized, "this link was used already, or is of an earlier launch"))
	default:
		answer(w, map[string]string{"token": d.token.Text()})
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone; there is nobody to tell
}

//go:embed page
var page embed.FS

// kinds are the page's own: what a machine's tables say of endings can be anything.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// policy lets the page use what comes from here alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// servePage serves what holds no secret, to anybody who got this far.
func servePage(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/desktop/")
	if r.URL.Path == "/" {
		name = "page/index.html"
	}
	text, err := page.ReadFile(name)
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(w, r, fault.New(fault.BadRequest, "this can only be read"))
		return
	case err != nil:
		refuse(w, r, fault.New(fault.NotFound, "there is nothing at %s", r.URL.Path))
		return
	}
	h := w.Header()
	h.Set("Content-Type", kinds[path.Ext(name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(text) // the client may be gone; there is nobody to tell
}
