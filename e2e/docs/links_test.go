package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+?)\s*$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names by which a page's headings are linked to.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		out[strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return out
}

// Links between pages lead to what is there, headings included.
func TestLinksLeadSomewhere(t *testing.T) {
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose(), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			file, anchor, _ := strings.Cut(m[1], "#")
			text := p.text
			if file != "" {
				read, err := os.ReadFile(filepath.Join(top, filepath.Dir(p.name), file))
				if info, failed := os.Stat(filepath.Join(top, filepath.Dir(p.name), file)); failed == nil && info.IsDir() {
					err = nil
				}
				if err != nil {
					t.Errorf("%s: the link %s leads nowhere: %v", p.name, m[1], err)
				}
				text = string(read)
			}
			if anchor != "" && !anchors(text)[anchor] {
				t.Errorf("%s: the link %s leads to no heading", p.name, m[1])
			}
		}
	}
	if n < 10 {
		t.Errorf("%d links were found", n)
	}
}

// Every page is one that the README leads to.
func TestTheReadmeNamesEveryPage(t *testing.T) {
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all[1:] {
		if !strings.HasPrefix(p.name, "docs/decisions/") && !strings.Contains(all[0].text, "]("+p.name) {
			t.Errorf("README.md has no link to %s", p.name)
		}
	}
}

// languages that a block may be fenced as.
var languages = map[string]bool{"sh": true, "text": true, "json": true, "yaml": true, "go": true, "proto": true, "sql": true, "promql": true, "mermaid": true, "ini": true}

const programs = `(sudo |\$ )?(kubectl|helm|curl|kubilitics(-hub|-agent)?|bin/\S+|make|go|docker) [a-z-]`

var (
	program = regexp.MustCompile(`^    ` + programs)
	typed   = regexp.MustCompile(`(?m)^` + programs)
)

// What people are to type stands in blocks that are run.
func TestCommandsStandInBlocks(t *testing.T) {
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, b := range p.blocks {
			if b.lang == "" && !typed.MatchString(b.text) {
				continue // a picture
			}
			if !languages[b.lang] {
				t.Errorf("%s:%d: a block is fenced as %q; commands are sh, what they print text or json", p.name, b.line, b.lang)
			}
		}
		if p.name == "docs/command.md" {
			continue // its indented lines are what the command says of its use
		}
		for line := range strings.Lines(p.text) {
			if program.MatchString(line) {
				t.Errorf("%s: commands stand between fences: %s", p.name, line)
			}
		}
	}
}
