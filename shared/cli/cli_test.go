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
		}}, {Use: "say WORD TWICE", Short: "Say two words", With: func(_ context.Context, cfg config, words []string, out io.Writer) error {
			if words[0] == words[1] {
				return fault.New(fault.BadRequest, "that is dull").WithField("TWICE", "is the same")
			}
			_, err := io.WriteString(out, cfg.Name+" "+strings.Join(words, "+"))
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
		{"say a b --name you", 0, "you a+b"},
		{"say a", 2, "greeter say needs TWICE"},
		{"say a b c", 2, `what is "c"?`},
		{"say a a", 2, "that is dull; TWICE: is the same"},
		{"gret", 2, `the nearest one is "greet"`},
		{"greet --name nobody", 2, "can't be greeted"},
		{"greet --name hell", 1, "it went wrong"},
		{"config print --token hush", 0, "token: ********"},
		{"config print --name you", 0, "name: you"},
		{"version", 0, "dev"},
		{"--version", 0, "dev"},
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
