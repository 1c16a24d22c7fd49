package rules

import (
	"strings"
	"testing"
)

// TestNames holds that what is the same has one name in every cluster, and what has none gets none.
func TestNames(t *testing.T) {
	for name, c := range map[string]struct {
		of    func(string) string
		cases map[string]string
	}{
		"git": {gitName, map[string]string{
			"https://github.com/Example/shop.git":            "github.com/Example/shop",
			"http://GitHub.com:80/Example/shop/":             "github.com/Example/shop",
			"https://user:to%20ken@github.com/Example/shop":  "github.com/Example/shop",
			"git@github.com:Example/shop.git":                "github.com/Example/shop",
			"github.com:/Example/shop":                       "github.com/Example/shop",
			"ssh://git@github.com:22/Example/shop.git":       "github.com/Example/shop",
			"ssh://git@git.example.com:2222/shop":            "git.example.com:2222/shop",
			" https://github.com/Example/shop?token=t#main ": "github.com/Example/shop",
			"https://user:pass/word@github.com/Example/shop": "",
			"https://github.com":                             "",
			"https://github.com/Example/{{ .name }}":         "",
			"oci://registry.example.com/charts/shop":         "",
			"file:///srv/shop.git":                           "",
			"/srv/shop.git":                                  "",
			"codecommit::eu-west-1://profile@shop":           "",
			"":                                               "",
		}},
		"image": {imageName, map[string]string{
			"registry.example.com:5000/web@sha256:aa":     "registry.example.com:5000/web@sha256:aa",
			"registry.example.com:5000/web:1.2@sha256:aa": "registry.example.com:5000/web@sha256:aa",
			"docker-pullable://nginx@sha256:aa":           "docker.io/library/nginx@sha256:aa",
			"docker-pullable://r.example.com/a@sha256:aa": "r.example.com/a@sha256:aa",
			"index.docker.io/library/nginx@sha256:aa":     "docker.io/library/nginx@sha256:aa",
			"bitnami/redis:7@sha256:aa":                   "docker.io/bitnami/redis@sha256:aa",
			"localhost/a@sha256:aa":                       "localhost/a@sha256:aa",
			"docker://sha256:aa":                          "",
			"sha256:aa":                                   "",
			"nginx:1.2":                                   "",
			"@sha256:aa":                                  "",
			"nginx@latest":                                "",
			"":                                            "",
		}},
		"host": {hostName, map[string]string{
			"Shop.Example.com.": "shop.example.com", "shop.example.com:8443": "shop.example.com", "*.example.com": "*.example.com",
			"*": "", "192.0.2.1": "", "192.0.2.1:80": "", "[2001:db8::1]:443": "", "2001:db8::1": "", "{{host}}": "", "a b": "", "": "",
		}},
		"destination": {func(s string) string { return destination(s, "shop").String() }, map[string]string{
			"web": "Service shop/web", "web.other": "Service other/web", "web.other.svc": "Service other/web",
			"http://web.other.svc.cluster.local:80/x": "Service other/web", "web.other.svc.k8s.example.com": "Service other/web",
			"web.other.svc.clusterset.local": "ClusterSetService.kubilitics.io other/web",
			"example.com":                    "Host.kubilitics.io example.com", "api.example.com": "Host.kubilitics.io api.example.com",
			"*.other.svc.cluster.local": "Host.kubilitics.io *.other.svc.cluster.local",
		}},
	} {
		for in, want := range c.cases {
			if got := c.of(in); got != want {
				t.Errorf("%s %q is %q, not %q", name, in, got, want)
			}
		}
	}
}

// FuzzNames reads anything as a name: what comes out is one, and is its own name.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"git@host:a/b.git", "https://u:p@h:443/a", "docker-pullable://a:1@sha256:b", "*.A.b.", "[::1]:80", "a.b.svc", "://@:/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := hostName(text); got != "" && (got != strings.ToLower(got) || strings.ContainsAny(got, "/@{} ")) {
			t.Errorf("%q is the host %q", text, got)
		}
		if got := imageName(text); got != "" && (!strings.Contains(got, "/") || !strings.Contains(got, "@")) {
			t.Errorf("%q is the image %q", text, got)
		}
		if got := gitName(text); strings.ContainsAny(got, "@?#") {
			t.Errorf("%q is the repository %q", text, got)
		}
		destination(text, "shop")
	})
}
