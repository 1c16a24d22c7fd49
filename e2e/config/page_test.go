package config

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the page anew")

func TestPageIsUpToDate(t *testing.T) {
	const file = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(file, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(file)
	if err != nil || string(there) != Page() {
		t.Errorf("docs/configuration.md isn't what the programs take (%v): go test ./e2e/config -run TestPage -update", err)
	}
}
