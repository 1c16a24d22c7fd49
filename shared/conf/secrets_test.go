package conf

import (
	"slices"
	"testing"
)

func TestSecrets(t *testing.T) {
	type part struct {
		Name string   `conf:"name"`
		Env  []string `conf:"env" secret:"true"`
	}
	type config struct {
		Open  string `conf:"open"`
		Token string `conf:"token" secret:"true"`
		DSN   string `conf:"dsn" secret:"true"`
		Parts []part `conf:"parts"`
	}
	got := Secrets(config{
		Open: "open", Token: "token-1", DSN: "postgres://kube:pass-2@db/kubilitics?sslmode=disable",
		Parts: []part{{Name: "named", Env: []string{"KEY=env-3", "X=1"}}},
	})
	for _, want := range []string{"token-1", "pass-2", "KEY=env-3", "env-3"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	for _, no := range []string{"open", "named", "1"} {
		if slices.Contains(got, no) {
			t.Errorf("%q is no secret", no)
		}
	}
}
