package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
)

type config struct {
	Name  string `conf:"name" usage:"whom to greet"`
	Token string `conf:"token" usage:"a secret" secret:"true"`
}

func greeter() Program[config] {
	return Program[config]{
		Name: "greeter", Short: "Greets", Long: "Greets people.", Defaults: config{Name: "world"},
		Commands: []Command[config]{{Use: "greet", Short: "Greet", Run: func(_ context.Context, cfg config, out io.Writer) error {
			switch cfg.Name {
			case "nobody":
				return fault.New(fault.BadRequest, "nobody can't be greeted")
			case "hell":
				return errors.New("it went wrong")
			}
			_, err := io.WriteString(out, "hello "+cfg.Name)
			return err
		}}},
	}
}

func TestPrograms(t *testing.T) {
	cases := []struct {
		args string
		code int
		says string
	}{
		{"greet", 0, "hello world"},
		{"greet --name you", 0, "hello you"},
		{"greet --nam you", 2, `"--name"`},
		{"greet you", 2, `"you" is no command`},
		{"gret", 2, `the nearest one is "greet"`},
		{"greet --name nobody", 2, "can't be greeted"},
		{"greet --name hell", 1, "it went wrong"},
		{"config print --token hush", 0, "token: ********"},
		{"config print --name you", 0, "name: you"},
		{"version", 0, ""},
		{"--help", 0, "KUBILITICS_*"},
		{"", 0, "Greets people."},
	}
	for _, c := range cases {
		var out, complaints bytes.Buffer
		code := greeter().run(t.Context(), strings.Fields(c.args), &out, &complaints)
		if all := out.String() + complaints.String(); code != c.code || !strings.Contains(all, c.says) || strings.Contains(all, "hush") {
			t.Errorf("greeter %s: exit code %d, want %d; it said %q, want %q in it", c.args, code, c.code, all, c.says)
		}
	}
}
