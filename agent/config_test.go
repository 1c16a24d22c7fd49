package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccess: a step that isn't one is answered with those that are; names that the cluster keeps for itself can't be made by a prefix.
func TestAccess(t *testing.T) {
	for _, c := range []struct{ access, prefix, says string }{
		{"read", "kubilitics:", ""},
		{"none", "", ""},
		{"impersonate", "hub-1/", ""},
		{"Read", "kubilitics:", `access: "Read" is none of none, read, operate, impersonate`},
		{"", "kubilitics:", `access: "" is none of none, read, operate, impersonate`},
		{"impersonate", "System:", `user-prefix: "System:" can't stand before names`},
		{"impersonate", "a b", `user-prefix: "a b" can't stand before names`},
	} {
		cfg := DefaultConfig()
		cfg.Hub, cfg.Access, cfg.UserPrefix = "tls://hub:1", c.access, c.prefix
		err := cfg.check()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("access %q, prefix %q: %v", c.access, c.prefix, err)
		}
	}
}

// TestNoCluster: who starts an agent at a machine without a kubeconfig is told which key names one.
func TestNoCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := restConfig(DefaultConfig()); err == nil || !strings.Contains(err.Error(), "no kubeconfig says how the cluster is reached") {
		t.Error(err)
	}
}

// TestOwnRules: rows of the user's file join the built-in ones; one that can't be right is named before anything is reached.
func TestOwnRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	for text, want := range map[string]string{
		"- {name: widget-config, type: references, from: [Widget.example.com], ref: {to: ConfigMap, name: spec.config}}": "",
		"- {name: widget-config, type: likes, from: [Widget.example.com], ref: {to: ConfigMap, name: spec.config}}":      file + `: row 1: rule "widget-config": the type "likes"`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := Config{Rules: file}.ruleTable()
		switch {
		case want == "" && (err != nil || table.Rows()[len(table.Rows())-1].Name != "widget-config"):
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := (Config{Rules: file + ".none"}).ruleTable(); err == nil {
		t.Error("a file that isn't there is read")
	}
}

// TestSees: what is left out wins over what is listed.
func TestSees(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		sees string
	}{
		{Config{}, "abc"}, {Config{Namespaces: []string{"a", "b"}}, "ab"}, {Config{Without: []string{"b"}}, "ac"}, {Config{Namespaces: []string{"a", "b"}, Without: []string{"b"}}, "a"},
	} {
		got := ""
		for _, namespace := range []string{"a", "b", "c"} {
			if c.cfg.sees(namespace) {
				got += namespace
			}
		}
		if got != c.sees {
			t.Errorf("%v without %v sees %q, not %q", c.cfg.Namespaces, c.cfg.Without, got, c.sees)
		}
	}
}
