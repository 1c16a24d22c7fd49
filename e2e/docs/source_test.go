package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Go in a page is a file that compiles, or stands line by line in a file of the house, which does.
func TestGoCompiles(t *testing.T) {
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		for _, b := range p.blocks {
			if b.lang != "go" {
				continue
			}
			n++
			folder, ok := b.orders["in"]
			if !ok {
				t.Errorf("%s:%d: nothing says in which folder this stands", p.name, b.line)
				continue
			}
			if err := stands(b.text, filepath.Join(top, folder)); err != nil {
				t.Errorf("%s:%d: %v", p.name, b.line, err)
			}
		}
	}
	if n == 0 {
		t.Error("no page holds any Go")
	}
}

// stands tells that a folder's files don't hold the lines, in their order.
func stands(text, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return err
	}
	var last error
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if last = resemblesText(exactly(text), exactly(string(source))); last == nil {
			return nil
		}
	}
	if last == nil {
		last = os.ErrNotExist
	}
	return last
}

// exactly keeps digits from standing for any others.
func exactly(text string) string {
	return strings.NewReplacer("0", "zero", "1", "one", "2", "two", "3", "three", "4", "four", "5", "five", "6", "six", "7", "seven", "8", "eight", "9", "nine").Replace(text)
}
