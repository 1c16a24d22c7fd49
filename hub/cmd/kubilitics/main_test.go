package main

import (
	"os/exec"
	"strings"
	"testing"
)

// kubectl starts this program over and over: it must stay small, and free of what only a hub needs.
func TestLinksNothingOfTheHub(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.Lines(string(out)) {
		for _, heavy := range []string{"jackc/pgx", "modernc.org/", "hub/internal/store", "hub/internal/httpapi", "spf13/viper", "google.golang.org/grpc", "client-go/kubernetes"} {
			if strings.Contains(pkg, heavy) {
				t.Errorf("it links %s", strings.TrimSpace(pkg))
			}
		}
	}
}
