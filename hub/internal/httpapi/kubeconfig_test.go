package httpapi

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestMeAndTickets(t *testing.T) {
	r := newRig(t, options{})
	other := querytest.New(t, r.store, r.tenant, "other").Load(querytest.Shop())
	shopper := r.token("shopper", "get,list,watch "+r.shop.ID.String()+" shop")
	id, _ := credential.Parse(credential.API, shopper)
	a := r.get(shopper, "/api/v1/me")
	a.expect(t, 200, `"name":"shopper"`, `"tenant":"default"`, `"kind":"token"`, `"token":"`+id.ID+`"`, `"groups":[]`, `"namespaces":["shop"]`)
	if strings.Contains(a.text, "expires") {
		t.Errorf("it ends: %s", a.text)
	}

	made := r.do(shopper, "POST", "/api/v1/me/ticket", `{"lifetime":"5m"}`)
	made.expect(t, 200, `"token":"kbs1.`)
	ticket := made.json["token"].(string)
	until, err := time.Parse(time.RFC3339, made.json["expires"].(string))
	if left := time.Until(until); err != nil || left > 5*time.Minute || left < 4*time.Minute {
		t.Errorf("it lasts %s, %v", left, err)
	}
	r.get(ticket, "/api/v1/me").expect(t, 200, `"kind":"ticket"`, `"name":"shopper"`, `"token":"`+id.ID+`"`, `"expires":"`)
	r.get(ticket, "/api/v1/clusters/{shop}").expect(t, 200)
	r.get(ticket, "/api/v1/tokens").expect(t, 403)

	for body, status := range map[string]int{
		`{"lifetime":"9h"}`: 400, `{"lifetime":"soon"}`: 400, `{"lifetime":"-5m"}`: 400, `{"cluster":"` + other.ID.String() + `"}`: 404, `{"cluster":"nonsense"}`: 404,
		`{"cluster":"` + r.shop.ID.String() + `"}`: 200, `{"clusters":"x"}`: 400,
	} {
		r.do(shopper, "POST", "/api/v1/me/ticket", body).expect(t, status)
	}
	r.get(ticket+"x", "/api/v1/me").expect(t, 401, "UNAUTHORIZED")
	r.get("", "/api/v1/me").expect(t, 401)
}

// What was answered to a token that may do everything isn't given to its ticket that may do little.
func TestAnswersAreNotRepeatedToTickets(t *testing.T) {
	r := newRig(t, options{})
	body := `{"name":"ci","bindings":[{"verbs":["*"],"clusters":["*"],"namespaces":["*"]}]}`
	r.do(r.admin, "POST", "/api/v1/tokens", body, "Idempotency-Key", "k").expect(t, 201)
	ticket := r.do(r.admin, "POST", "/api/v1/me/ticket", r.expand(`{"cluster":"{shop}"}`)).json["token"].(string)
	r.do(ticket, "POST", "/api/v1/tokens", body, "Idempotency-Key", "k").expect(t, 403)
}

func kubeconfigOf(t *testing.T, a reply) clientcmd.Config {
	t.Helper()
	a.expect(t, 200)
	if got := a.header.Get("Content-Type"); got != "application/yaml" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.header)
	}
	var c clientcmd.Config
	if err := yaml.UnmarshalStrict([]byte(a.text), &c); err != nil {
		t.Fatalf("%v in %s", err, a.text)
	}
	return c
}

func TestKubeconfigOfACluster(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.Public = func() Public { return Public{OwnCA: []byte("the root")} } }})
	other := querytest.New(t, r.store, r.tenant, "other").Load(querytest.Shop())
	for _, rights := range []string{"get {shop} shop", "list {shop} shop", "watch {shop} *"} {
		token := r.token("shopper", r.expand(rights))
		c := kubeconfigOf(t, r.get(token, "/api/v1/clusters/{shop}/kubeconfig"))
		want := "https://" + strings.TrimPrefix(r.url, "http://") + r.expand("/k8s/clusters/{shop}")
		if len(c.Clusters) != 1 || c.Clusters[0].Cluster.Server != want || string(c.Clusters[0].Cluster.CertificateAuthorityData) != "the root" {
			t.Errorf("clusters %+v", c.Clusters)
		}
		if c.CurrentContext != "shop" || c.Contexts[0].Context.AuthInfo != c.AuthInfos[0].Name {
			t.Errorf("contexts %+v", c.Contexts)
		}
		me := r.get(c.AuthInfos[0].AuthInfo.Token, "/api/v1/me")
		me.expect(t, 200, `"name":"shopper"`, r.expand(`"cluster":"{shop}"`))
		r.get(token, "/api/v1/clusters/"+other.ID.String()+"/kubeconfig").expect(t, 404, "there is no cluster "+other.ID.String())
	}
	nobody := r.token("nobody", "enroll * *")
	r.get(nobody, "/api/v1/clusters/{shop}/kubeconfig").expect(t, 404)
	r.get(r.admin, "/api/v1/clusters/"+fleet.NewClusterID().String()+"/kubeconfig").expect(t, 404)
	r.get(r.admin, "/api/v1/clusters/{shop}/kubeconfig?lifetime=9h").expect(t, 400)
	r.get(r.admin, "/api/v1/clusters/{shop}/kubeconfig?auth=password").expect(t, 400)
	if a := r.get(r.admin, "/api/v1/clusters/{shop}/kubeconfig?lifetime=1m"); !strings.HasPrefix(a.text, "# The ticket in this ends at 2") {
		t.Errorf("it begins %.80s", a.text)
	}

	exec := kubeconfigOf(t, r.get(r.admin, "/api/v1/clusters/{shop}/kubeconfig?auth=exec")).AuthInfos[0].AuthInfo
	if e := exec.Exec; exec.Token != "" || e == nil || e.Command != "kubilitics" || e.APIVersion != "client.authentication.k8s.io/v1" || e.InteractiveMode != "Never" ||
		e.ProvideClusterInfo || strings.Join(e.Args, " ") != "credential --hub https://"+strings.TrimPrefix(r.url, "http://")+r.expand(" --cluster {shop}") || e.InstallHint == "" {
		t.Errorf("exec %+v", exec.Exec)
	}
}

func TestKubeconfigOfAll(t *testing.T) {
	r := newRig(t, options{})
	for _, name := range []string{"eu one", "eu-one", "fleet"} {
		querytest.New(t, r.store, r.tenant, name)
	}
	c := kubeconfigOf(t, r.get(r.admin, "/api/v1/kubeconfig"))
	var names, servers []string
	for i, x := range c.Contexts {
		names, servers = append(names, x.Name), append(servers, c.Clusters[i].Cluster.Server)
		if x.Context.AuthInfo != c.AuthInfos[0].Name || x.Context.Cluster != c.Clusters[i].Name {
			t.Errorf("context %+v", x)
		}
	}
	if len(names) != 5 || names[0] != "fleet" || !strings.HasSuffix(servers[0], "/k8s/fleet") || names[1] != "eu-one" || !strings.HasPrefix(names[2], "eu-one-c") ||
		!strings.HasPrefix(names[3], "fleet-c") || names[4] != "shop" || !strings.HasSuffix(servers[4], r.expand("/k8s/clusters/{shop}")) {
		t.Errorf("contexts %q at %q", names, servers)
	}
	shopper := r.token("shopper", "get,list "+r.shop.ID.String()+" shop")
	if c := kubeconfigOf(t, r.get(shopper, "/api/v1/kubeconfig")); len(c.Contexts) != 2 || c.Contexts[1].Name != "shop" {
		t.Errorf("one who may see the shop gets %+v", c.Contexts)
	}
	if args := kubeconfigOf(t, r.get(shopper, "/api/v1/kubeconfig?auth=exec")).AuthInfos[0].AuthInfo.Exec.Args; len(args) != 3 {
		t.Errorf("args %q", args)
	}
}

func TestPublicAddress(t *testing.T) {
	own, public := []byte("own"), []byte("public")
	cases := []struct {
		name, url, host, peer, proto, outside string
		want, ca                              string
		code                                  fault.Code
	}{
		{name: "direct", host: "hub:8400", peer: "192.0.2.1:1", want: "https://hub:8400", ca: "own"},
		{name: "configured", url: "https://hub.example/", host: "hub:8400", peer: "192.0.2.1:1", want: "https://hub.example", ca: "public"},
		{name: "a stranger's word", host: "hub:8400", peer: "192.0.2.1:1", proto: "https", outside: "evil.example", want: "https://hub:8400", ca: "own"},
		{name: "a proxy", host: "hub:8400", peer: "127.0.0.1:1", proto: "https", outside: "hub.example", want: "https://hub.example", ca: "public"},
		{name: "a proxy that says nothing", host: "hub:8400", peer: "127.0.0.1:1", want: "https://hub:8400", ca: "own"},
		{name: "a proxy without TLS", host: "hub:8400", peer: "127.0.0.1:1", proto: "http", code: fault.Conflict},
		{name: "IPv6", host: "[::1]:8400", peer: "[::1]:1", want: "https://[::1]:8400", ca: "own"},
		{name: "no host", host: "hub/x", peer: "192.0.2.1:1", code: fault.BadRequest},
		{name: "a line", host: "hub\nx", peer: "192.0.2.1:1", code: fault.BadRequest},
		{name: "nothing", peer: "192.0.2.1:1", code: fault.BadRequest},
	}
	for _, c := range cases {
		a := &API{cfg: Config{Public: func() Public { return Public{URL: c.url, CA: public, OwnCA: own} }, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
		got, ca, err := a.publicAddress(serverAddress{host: c.host, peer: c.peer, proto: c.proto, outside: c.outside})
		if got != c.want || string(ca) != c.ca || (err != nil) != (c.code != "") || err != nil && !fault.Is(err, c.code) {
			t.Errorf("%s: %q, %q, %v", c.name, got, ca, err)
		}
	}
}

// What a proxy says reaches the file.
func TestKubeconfigBehindAProxy(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }})
	for _, path := range []string{"/api/v1/kubeconfig", "/api/v1/clusters/{shop}/kubeconfig"} {
		c := kubeconfigOf(t, r.do(r.admin, "GET", path, "", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "hub.example"))
		if got := c.Clusters[0].Cluster.Server; !strings.HasPrefix(got, "https://hub.example/k8s/") || c.Clusters[0].Cluster.CertificateAuthorityData != nil {
			t.Errorf("%s: %s", path, got)
		}
	}
}
