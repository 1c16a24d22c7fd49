package command

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// asCommand makes the test's own executable be the command.
const asCommand = "COMMAND_TEST_RUNS"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := Run(ctx, Process{Args: os.Args, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "v0-test"})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// hub answers as one does, as far as the command asks.
type hub struct {
	*httptest.Server
	t     *testing.T
	token string
	lasts time.Duration // of its tickets

	mu      sync.Mutex
	revoked bool
	failing int // status of every answer, if not 0
	made    int // tickets
	agent   string
	answers map[string]any // by path: a value, or a func(*http.Request) any that gives one; an error is answered as a problem, a string as it is
	asked   []string       // paths and queries of those, in the order they came
}

func newHub(t *testing.T) *hub {
	h := &hub{t: t, token: credential.New(credential.API).Text(), lasts: 15 * time.Minute}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/me", func(w http.ResponseWriter, _ *http.Request) {
		h.answer(w, `{"name":"ada","groups":["ops"],"tenant":"default","kind":"token","token":"`+tokenID(h.token)+`","bindings":[{"verbs":["get","list"],"clusters":["*"],"namespaces":["shop"]}]}`)
	})
	mux.HandleFunc("POST /api/v1/me/ticket", h.ticket)
	mux.HandleFunc("GET /api/v1/clusters/summary", func(w http.ResponseWriter, _ *http.Request) {
		heard := time.Now().Add(-90 * time.Second).UTC().Format(time.RFC3339)
		h.answer(w, `{"position":7,"clusters":[
			{"id":"c1","name":"eu-1","version":"v1.37.2","resources":1234,"freshness":{"state":"live","lastHeard":"`+heard+`"}},
			{"id":"c2","name":"us-1","resources":0,"freshness":{"state":"never"}}]}`)
	})
	mux.HandleFunc("POST /api/v1/clusters", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "taken" {
			httpfault.Write(w, "r-20", fault.New(fault.Conflict, "another cluster is called so"))
			return
		}
		h.answer(w, `{"id":"c9","token":"kbl1.x","command":"kubilitics-agent run","helm":"helm install x --ca-file hub.crt --set y","helmCA":"ROOT\n"}`)
	})
	mux.HandleFunc("GET /api/v1/clusters", func(w http.ResponseWriter, _ *http.Request) {
		h.answer(w, `{"position":7,"items":[{"id":"c1","name":"eu-1","freshness":{"state":"live"}},{"id":"c2","name":"us-1","freshness":{"state":"live"}},{"id":"c3","name":"gone-1","freshness":{"state":"never"}}]}`)
	})
	mux.HandleFunc("GET /api/v1/kubeconfig", h.kubeconfig)
	mux.HandleFunc("GET /api/v1/clusters/{cluster}/kubeconfig", h.kubeconfig)
	mux.HandleFunc("/", h.told)
	h.Server = httptest.NewTLSServer(h.guard(mux))
	t.Cleanup(h.Close)
	return h
}

func (h *hub) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.agent = r.UserAgent()
		revoked, failing := h.revoked, h.failing
		h.mu.Unlock()
		switch {
		case failing == http.StatusFound:
			http.Redirect(w, r, "https://elsewhere.example/", failing)
		case failing != 0 && failing != http.StatusBadGateway:
			httpfault.Write(w, "r-17", fault.New(httpfault.Code(failing), "something is wrong").WithField("lifetime", "is odd"))
		case failing != 0:
			http.Error(w, "<html>bad gateway</html>", failing)
		case revoked || r.Header.Get("Authorization") != "Bearer "+h.token:
			httpfault.Write(w, "r-18", fault.New(fault.Unauthorized, "the API token isn't known to this hub"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (h *hub) answer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(text))
}

// told answers what a test says.
func (h *hub) told(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.URL.RequestURI())
	v := h.answers[r.URL.Path]
	h.mu.Unlock()
	if f, ok := v.(func(*http.Request) any); ok {
		v = f(r)
	}
	switch v := v.(type) {
	case nil:
		httpfault.Write(w, "r-19", fault.New(fault.NotFound, "nothing is at %s", r.URL.Path))
	case error:
		httpfault.Write(w, "r-19", v)
	case string:
		_, _ = w.Write([]byte(v))
	case http.HandlerFunc:
		v(w, r)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			h.t.Error(err)
		}
		h.answer(w, string(text))
	}
}

// tells makes the hub answer, and forgets what was asked.
func (h *hub) tells(answers map[string]any) {
	h.set(func() { h.answers, h.asked = answers, nil })
}

// heard is what was asked of what a test told.
func (h *hub) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

func (h *hub) ticket(w http.ResponseWriter, r *http.Request) {
	var in struct{ Cluster string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	h.answer(w, fmt.Sprintf(`{"token":"kbs1.%d.%s","expires":"%s"}`, h.made, in.Cluster, time.Now().Add(h.lasts).UTC().Format(time.RFC3339Nano)))
}

// kubeconfig gives one with a context for each path.
func (h *hub) kubeconfig(w http.ResponseWriter, r *http.Request) {
	entries := [][2]string{{"fleet", "fleet"}, {"eu-1", "clusters/c1"}, {"us-1", "clusters/c2"}}
	if r.PathValue("cluster") != "" {
		entries = entries[1:2]
	}
	user := `"token":"kbs1.ticket"`
	if r.URL.Query().Get("auth") == "exec" {
		user = `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"kubilitics","args":["credential","--hub","https://public.example"],"interactiveMode":"Never","installHint":"kubilitics login https://public.example"}`
	}
	var clusters, contexts []string
	for _, e := range entries {
		clusters = append(clusters, fmt.Sprintf(`{"name":%q,"cluster":{"server":"%s/k8s/%s"}}`, e[0], h.URL, e[1]))
		contexts = append(contexts, fmt.Sprintf(`{"name":%q,"context":{"cluster":%[1]q,"user":"kubilitics@hub"}}`, e[0]))
	}
	w.Header().Set("Content-Type", "application/yaml")
	fmt.Fprintf(w, "# The ticket in this ends soon.\n"+`{"apiVersion":"v1","kind":"Config","clusters":[%s],"contexts":[%s],"current-context":%q,"users":[{"name":"kubilitics@hub","user":{%s}}]}`,
		strings.Join(clusters, ","), strings.Join(contexts, ","), entries[0][0], user)
}

func (h *hub) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *hub) seen() (tickets int, agent string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.made, h.agent
}

// desk is somebody's account on some machine.
type desk struct {
	t      *testing.T
	home   string
	ca     string // file with the test servers' certificate
	secret []string
	name   string // by which the command is called
	env    []string
}

func newDesk(t *testing.T, hubs ...*hub) *desk {
	d := &desk{t: t, home: t.TempDir(), name: "kubilitics"}
	d.ca = filepath.Join(d.home, "root.pem")
	for _, h := range hubs {
		d.secret = append(d.secret, h.token, strings.Split(h.token, ".")[2])
		d.write("root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})))
	}
	return d
}

func (d *desk) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.home, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *desk) read(name string) string {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.home, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

const loginsFile = ".config/kubilitics/logins.json"

func (d *desk) command(in string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), os.Args[0], args...)
	cmd.Args[0] = d.name
	cmd.Env = append([]string{asCommand + "=1", "HOME=" + d.home, "XDG_CONFIG_HOME=" + d.home + "/.config", "XDG_CACHE_HOME=" + d.home + "/.cache", "PATH=", "TZ=UTC"}, d.env...)
	cmd.Dir = d.home
	cmd.Stdin = strings.NewReader(in)
	return cmd
}

// does runs the command and expects an exit code, and words in what it says. Tokens are never in there.
func (d *desk) does(code int, in string, args []string, words ...string) (out string) {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := d.command(in, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		d.t.Fatal(err)
	}
	all := stdout.String() + stderr.String()
	if got := cmd.ProcessState.ExitCode(); got != code {
		d.t.Errorf("kubilitics %q ended with %d, want %d: %s", args, got, code, all)
	}
	for _, w := range words {
		if !strings.Contains(all, w) {
			d.t.Errorf("kubilitics %q doesn't say %q: %s", args, w, all)
		}
	}
	for _, s := range d.secret {
		if strings.Contains(all, s) {
			d.t.Errorf("kubilitics %q tells a token: %s", args, all)
		}
	}
	return stdout.String()
}

func (d *desk) run(code int, args string, words ...string) string {
	d.t.Helper()
	return d.does(code, "", strings.Fields(args), words...)
}

// loggedIn is a desk whose owner has logged in to a hub.
func loggedIn(t *testing.T) (*desk, *hub) {
	t.Helper()
	h := newHub(t)
	d := newDesk(t, h)
	d.does(0, h.token+"\n", []string{"login", h.URL, "--ca", d.ca, "--token-stdin"}, "logged in to "+h.URL+" as ada")
	return d, h
}
