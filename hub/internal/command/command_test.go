package command

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/shared/credential"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	d := newDesk(t, h)
	wrong := credential.New(credential.API).Text()
	d.secret = append(d.secret, wrong)
	file := d.write("token", "  "+h.token+"\n")
	d.does(2, h.token, []string{"login", h.URL, "--ca", d.ca}, "nobody to ask")
	d.does(2, h.token, []string{"login", h.URL, "--ca", d.ca, "--token-stdin", "--token-file", file}, "exclude")
	d.does(2, h.token+"x", []string{"login", h.URL, "--ca", d.ca, "--token-stdin"}, "that is no API token, or not all of one")
	d.does(2, h.token, []string{"login", "--token-stdin"}, "which hub?")
	d.does(2, h.token, []string{"login", "tls://hub:8443", "--token-stdin"}, "where agents reach the hub")
	d.does(2, h.token, []string{"login", h.URL, "--ca", file, "--token-stdin"}, "no certificate")
	d.does(3, wrong, []string{"login", h.URL, "--ca", d.ca, "--token-stdin"}, "isn't known to this hub", "request r-18")
	d.does(5, h.token, []string{"login", h.URL, "--token-stdin"}, "can't be reached", "x509", "; --ca names a file")
	if _, err := os.Stat(filepath.Join(d.home, loginsFile)); err == nil {
		t.Error("a login that failed was kept")
	}
	d.run(3, "whoami", "no hub is known here: run kubilitics login")
	d.run(0, "login "+strings.ToUpper(h.URL[:5])+h.URL[5:]+"/ --ca "+d.ca+" --token-file "+file, "logged in to "+h.URL+" as ada")
	info, err := os.Stat(filepath.Join(d.home, loginsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	d.run(0, "whoami", h.URL, "ada", "ops", "default", "never", "get,list on clusters all, namespaces shop")
	if _, got := h.seen(); got != "kubilitics/v0-test" {
		t.Errorf("User-Agent %q", got)
	}
	d.env = []string{"KUBILITICS_TOKEN=" + wrong}
	d.run(3, "whoami", h.URL+" doesn't let you in", "KUBILITICS_TOKEN must hold another token")
	d.env = []string{"KUBILITICS_HUB=https://other.example"}
	d.run(3, "whoami", "not logged in to https://other.example: run kubilitics login https://other.example")
	d.run(0, "whoami --hub "+h.URL+" -o json", `"name": "ada"`)
}

func TestSeveralHubs(t *testing.T) {
	t.Parallel()
	one, two := newHub(t), newHub(t)
	d := newDesk(t, one, two)
	for _, h := range []*hub{one, two} {
		d.does(0, h.token, []string{"login", h.URL, "--ca", d.ca, "--token-stdin"})
		d.run(0, "credential")
	}
	d.run(0, "whoami", two.URL)
	d.run(0, "use "+one.URL)
	d.run(0, "use", "* "+one.URL, "  "+two.URL)
	d.run(0, "whoami", one.URL)
	d.run(3, "use https://nowhere.example", "not logged in")
	d.run(0, "logout", "logged out of "+one.URL)
	d.run(0, "whoami", two.URL) // the one that is left
	if left, _ := filepath.Glob(filepath.Join(d.home, ".cache/kubilitics/tickets/*")); len(left) != 1 {
		t.Errorf("tickets left: %q", left)
	}
	d.run(3, "logout "+one.URL, "not logged in to "+one.URL)
	d.run(0, "logout --all", two.URL)
	d.run(3, "clusters", "no hub is known")
	if strings.Contains(d.read(loginsFile), "kbt1") {
		t.Error("a token was left")
	}
}

func TestLoginsThatAreDamagedOrExposed(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	path := filepath.Join(d.home, loginsFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(0, "clusters", "warning: ", "others can read it (mode 0644): chmod 600 "+path, "eu-1")
	d.write(loginsFile, strings.Replace(d.read(loginsFile), `"token": "`, `"token" "`, 1))
	d.run(1, "clusters", path+" are damaged", "log in again")
	d.does(1, h.token, []string{"login", h.URL, "--ca", d.ca, "--token-stdin"}, "damaged")
}

func TestClusters(t *testing.T) {
	t.Parallel()
	d, _ := loggedIn(t)
	want := "NAME   ID   STATE   VERSION   RESOURCES   LAST HEARD\neu-1   c1   live    v1.37.2   1234        90s ago\nus-1   c2   never   -         0           never\n"
	if got := d.run(0, "clusters"); strings.Replace(got, "91s", "90s", 1) != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	if got := d.run(0, "clusters -o name"); got != "eu-1\nus-1\n" {
		t.Errorf("names: %q", got)
	}
	var list struct{ Clusters []struct{ ID, Name string } }
	if err := json.Unmarshal([]byte(d.run(0, "clusters -o json")), &list); err != nil || len(list.Clusters) != 2 || list.Clusters[1].ID != "c2" {
		t.Errorf("JSON: %v, %v", list, err)
	}
	d.run(0, "clusters -o yaml", "- edges: 0", "id: c1")
	d.run(2, "clusters -o xml", "table, json, yaml, name")
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	for args, want := range map[string]string{
		"clustrs":                         `the nearest one is "clusters"`,
		"gte pods":                        `the nearest one is "get"`,
		"clusters x":                      `kubilitics clusters takes no arguments: what is "x"?`,
		"search":                          "kubilitics search takes QUERY...",
		"completion bsh":                  `the nearest one is "bash"`,
		"clusters --outptu json":          `the nearest one is "--output"`,
		"kubeconfig":                      "name one cluster, or say --all",
		"kubeconfig eu-1 --all":           "name one cluster, or say --all",
		"kubeconfig eu-1 --auth x":        "exec or ticket",
		"kubeconfig eu-1 --lifetime 1h":   "--auth ticket",
		"kubeconfig eu-1 --lifetime soon": "invalid argument",
		"login https://a --hub https://b": "two hubs",
		"clusters --hub ftp://x":          "https:// or http://",
		"clusters --ca /nowhere":          "--ca",
	} {
		d.run(2, args, want)
	}
	d.run(4, "kubeconfig eu", `knows no cluster "eu"`, "the nearest one is eu-1")
	for status, want := range map[int]struct {
		code int
		says []string
	}{
		500: {1, []string{"something is wrong", "lifetime is odd", "(request r-17)"}},
		403: {1, []string{"something is wrong"}}, 404: {4, nil}, 400: {2, nil}, 429: {1, nil},
		502: {5, []string{"can't be reached", "502"}},
		302: {2, []string{"https://elsewhere.example/"}},
	} {
		h.set(func() { h.failing = status })
		d.run(want.code, "clusters", want.says...)
	}
	h.Close()
	d.run(5, "clusters", "the hub "+h.URL+" can't be reached", "refused")
	d.run(0, "version", "v0-test")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(0, "--help", "Exit codes: 0 ", "5 no hub answered", "kubilitics login https://hub.example")
	d.run(0, "completion bash", "bash completion")
	d.run(0, "--version", "v0-test\n")
	d.name = "/usr/local/bin/kubectl-kubilitics"
	d.run(0, "kubeconfig --help", "kubectl kubilitics kubeconfig [CLUSTER]")
	d.run(0, "", "kubectl kubilitics login https://hub.example")
	d.run(3, "clusters", "kubectl kubilitics: no hub is known here: run kubectl kubilitics login")
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	d.run(0, "__complete kubeconfig eu", "eu-1")
	d.run(0, "__complete kubeconfig --auth t", "exec\nticket\n:4")
	d.run(0, "__complete use h", h.URL+"\n:4")
	d.run(0, "__complete use "+h.URL+" h", ":4")
}

type execCredential struct {
	APIVersion, Kind string
	Status           struct {
		Token               string
		ExpirationTimestamp time.Time
	}
}

func (d *desk) credential(args string) execCredential {
	d.t.Helper()
	var c execCredential
	if err := json.Unmarshal([]byte(d.run(0, "credential "+args)), &c); err != nil {
		d.t.Fatal(err)
	}
	if c.APIVersion != "client.authentication.k8s.io/v1" || c.Kind != "ExecCredential" || c.Status.ExpirationTimestamp.Before(time.Now()) {
		d.t.Errorf("%+v", c)
	}
	return c
}

func TestCredential(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	one := d.credential("--hub " + h.URL)
	again := d.credential("")
	if made, _ := h.seen(); again != one || made != 1 {
		t.Errorf("%d tickets were made", made)
	}
	if of := d.credential("--cluster c1"); of.Status.Token != "kbs1.2.c1" {
		t.Errorf("for a cluster: %+v", of)
	}
	kept, _ := filepath.Glob(filepath.Join(d.home, ".cache/kubilitics/tickets/*"))
	for _, path := range kept {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil { // damaged: another is got
			t.Fatal(err)
		}
	}
	h.set(func() { h.lasts = time.Minute }) // too little to hand out again
	d.credential("")
	d.credential("")
	if made, _ := h.seen(); made != 4 {
		t.Errorf("%d tickets were made", made)
	}
	h.set(func() { h.failing = http.StatusBadGateway })
	if c := d.credential(""); c.Status.Token != "kbs1.4." {
		t.Errorf("while the hub is away: %+v", c)
	}
	h.set(func() { h.failing, h.revoked = 0, true })
	if out := d.run(3, "credential", "run kubilitics login "+h.URL); out != "" {
		t.Errorf("it printed %q", out)
	}
	d.run(3, "credential --hub https://new.example", "not logged in to https://new.example: run kubilitics login https://new.example")
}

func TestCredentialsAtOnce(t *testing.T) {
	t.Parallel()
	d, _ := loggedIn(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { d.credential("") })
	}
	wg.Wait()
	if kept, _ := filepath.Glob(filepath.Join(d.home, ".cache/kubilitics/tickets/*")); len(kept) != 1 {
		t.Errorf("files: %q", kept)
	}
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	c, err := clientcmd.Load([]byte(d.run(0, "kubeconfig eu-1")))
	if err != nil {
		t.Fatal(err)
	}
	e := c.AuthInfos["kubilitics@hub"].Exec
	if c.CurrentContext != "eu-1" || string(c.Clusters["eu-1"].CertificateAuthorityData) != d.read("root.pem") || c.Clusters["eu-1"].Server != h.URL+"/k8s/clusters/c1" {
		t.Errorf("%+v", c.Clusters["eu-1"])
	}
	if e.Command != os.Args[0] || e.Args[2] != h.URL || e.InstallHint != "kubilitics login "+h.URL {
		t.Errorf("exec %+v", e)
	}
	d.run(0, "kubeconfig c2", "eu-1") // by its id; the hub of this test knows but one answer
	if got := d.run(0, "kubeconfig eu-1 --auth ticket --lifetime 1h", "kbs1.ticket"); !strings.HasPrefix(got, "# The ticket in this ends") {
		t.Errorf("it begins %.60q", got)
	}
}

const others = `apiVersion: v1
kind: Config
current-context: theirs
clusters:
- name: theirs
  cluster: {server: https://theirs.example}
contexts:
- name: theirs
  context: {cluster: theirs, user: them, namespace: web}
users:
- name: them
  user: {token: their-token}
`

func TestKubeconfigWrite(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	d.write(".kube/config", others)
	for range 2 { // the second time finds its own
		if out := d.run(0, "kubeconfig --all --write", "has the context us-1", "kubectl --context fleet"); out != "" {
			t.Errorf("it printed %q", out)
		}
	}
	c, err := clientcmd.Load([]byte(d.read(".kube/config")))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Contexts) != 4 || len(c.Clusters) != 4 || len(c.AuthInfos) != 2 || c.CurrentContext != "theirs" || c.AuthInfos["them"].Token != "their-token" || c.Contexts["theirs"].Namespace != "web" {
		t.Errorf("%+v", c)
	}

	d.write("taken.yaml", strings.ReplaceAll(others, "theirs", "eu-1"))
	before := d.read("taken.yaml")
	d.run(1, "kubeconfig eu-1 --write="+d.home+"/taken.yaml", `"eu-1" is in your kubeconfig already`, "--prefix")
	if d.read("taken.yaml") != before {
		t.Error("it was changed")
	}
	d.run(0, "kubeconfig eu-1 --prefix hub- --write="+d.home+"/taken.yaml", "has the context hub-eu-1")
	if c, err = clientcmd.Load([]byte(d.read("taken.yaml"))); err != nil || c.Clusters["eu-1"].Server != "https://eu-1.example" || c.Contexts["hub-eu-1"].Cluster != "hub-eu-1" {
		t.Errorf("%+v, %v", c, err)
	}

	d.env = []string{"KUBECONFIG=" + d.home + "/first.yaml:" + d.home + "/.kube/config"}
	d.run(0, "kubeconfig eu-1 --write")
	if c, err := clientcmd.Load([]byte(d.read(".kube/config"))); err != nil || c.Clusters["eu-1"].Server != h.URL+"/k8s/clusters/c1" {
		t.Errorf("what was in the second file is no longer: %+v, %v", c, err)
	}
	if strings.Contains(d.read(".kube/config"), "kbt1.") {
		t.Error("the token got into the kubeconfig")
	}
}

func TestInTheClear(t *testing.T) {
	for address, want := range map[string]bool{
		"http://hub.example": true, "http://192.0.2.1:8400": true, "http://127.0.0.1:8400": false, "http://localhost": false, "http://[::1]:8400": false, "https://hub.example": false,
	} {
		if got := inTheClear(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
