package httpapi

import (
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/charts"
	"github.com/kubilitics/kubilitics/hub/internal/chartrepo"
	"github.com/kubilitics/kubilitics/hub/internal/enroll"
)

func charted(t *testing.T, public Public) *rig {
	t.Helper()
	repository, err := chartrepo.New(charts.Agent, "kubilitics-agent")
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, options{noShop: true, api: func(c *Config) {
		c.Charts, c.Public = repository, func() Public { return public }
		c.HelmInstall = func(i enroll.Invitation, repo, caFile string) string { return repo + " " + caFile + " " + i.Token }
	}})
}

func TestTheChartIsServedToEverybody(t *testing.T) {
	r := charted(t, Public{})
	index := r.get("", "/charts/index.yaml")
	index.expect(t, 200)
	if !strings.Contains(index.text, "kubilitics-agent") || index.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%v %s", index.header, index.text)
	}
	c := r.api.cfg.Charts
	chart := r.get("", "/charts/"+c.File)
	chart.expect(t, 200)
	if chart.text != string(c.Packed) {
		t.Errorf("%d bytes came, %d are packed", len(chart.text), len(c.Packed))
	}
	r.do("", "GET", "/charts/"+c.File, "", "If-None-Match", chart.header.Get("ETag")).expect(t, 304)
	for _, path := range []string{"/charts/", "/charts/other-1.tgz", "/charts/..%2fChart.yaml"} {
		if a := r.get("", path); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	r.get("", "/charts/index.yaml?x=1").expect(t, 400)
}

func TestAnInvitationTellsTheHelmCommand(t *testing.T) {
	for name, c := range map[string]struct {
		public           Public
		host, helm, file string
	}{
		"by the address asked": {public: Public{OwnCA: []byte("own")}, host: "hub:8400", helm: "https://hub:8400/charts kubilitics-hub.crt ", file: "own"},
		"by the public one":    {public: Public{URL: "https://hub.example/", OwnCA: []byte("own")}, host: "x", helm: "https://hub.example/charts  "},
		"of a private root":    {public: Public{URL: "https://hub.example", CA: []byte("ours")}, host: "x", helm: "https://hub.example/charts kubilitics-hub.crt ", file: "ours"},
		"by nobody knows what": {public: Public{}, host: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			a := charted(t, c.public).api
			made := enroll.Invitation{Token: "kbl1.t"}
			out := Invited{}
			a.helm(made, serverAddress{host: c.host}, &out)
			want := c.helm
			if want != "" {
				want += made.Token
			}
			if out.Helm != want || out.HelmCA != c.file {
				t.Errorf("%q %q", out.Helm, out.HelmCA)
			}
		})
	}
	r := charted(t, Public{OwnCA: []byte("own")})
	made := r.do(r.admin, "POST", "/api/v1/clusters", `{"name":"new"}`)
	made.expect(t, 201)
	again := r.do(r.admin, "POST", "/api/v1/clusters/"+made.json["id"].(string)+"/join-tokens", "")
	again.expect(t, 201)
	for _, m := range []string{made.json["helm"].(string), again.json["helm"].(string)} {
		if !strings.HasPrefix(m, "https://127.0.0.1:") {
			t.Errorf("helm: %q", m)
		}
	}
}
