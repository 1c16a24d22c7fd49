package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// page is one file of the documentation.
type page struct {
	name   string // README.md, docs/install.md
	text   string
	blocks []*block
}

// block is what stands between fences.
type block struct {
	line   int // of its first fence
	lang   string
	text   string
	after  *block            // the one right before it, with nothing but blank lines and comments between
	orders map[string]string // the comments above it
}

// order is a comment that tells this package something.
var order = regexp.MustCompile(`^<!-- (not run here|first|file|in):(.*?)-->$`)

// top is the root of the repository.
const top = "../.."

func pages() ([]*page, error) {
	found, err := filepath.Glob(top + "/docs/*.md")
	if err != nil {
		return nil, err
	}
	decisions, err := filepath.Glob(top + "/docs/decisions/*.md")
	if err != nil {
		return nil, err
	}
	var out []*page
	for _, file := range slices.Concat([]string{top + "/README.md"}, found, decisions) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(top, file)
		if err != nil {
			return nil, err
		}
		p := &page{name: filepath.ToSlash(name), text: string(text)}
		if err := p.parse(); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parse finds the blocks and what is ordered above them.
func (p *page) parse() error {
	var open, last *block
	orders := map[string]string{}
	for i, line := range strings.Split(p.text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == "```":
			p.blocks = append(p.blocks, open)
			open, last = nil, open
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			open = &block{line: i + 1, lang: strings.TrimPrefix(trimmed, "```"), after: last, orders: orders}
			orders = map[string]string{}
		case trimmed == "":
		case order.MatchString(trimmed):
			m := order.FindStringSubmatch(trimmed)
			if strings.TrimSpace(m[2]) == "" {
				return fmt.Errorf("%s:%d: %q must say more", p.name, i+1, m[1])
			}
			orders[m[1]] = strings.TrimSpace(m[2])
		default:
			if len(orders) > 0 {
				return fmt.Errorf("%s:%d: what is ordered here stands above no block", p.name, i)
			}
			last = nil
		}
	}
	if open != nil {
		return fmt.Errorf("%s:%d: the block has no end", p.name, open.line)
	}
	return nil
}

// prose is the page without its blocks and without what is quoted as code.
func (p *page) prose() string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(p.text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			continue
		}
		if !inside && !strings.HasPrefix(line, "    ") {
			b.WriteString(line)
		}
	}
	return quoted.ReplaceAllString(b.String(), "")
}

var quoted = regexp.MustCompile("`[^`\n]*`")

// runs tells whether a block is one of commands that are run.
func (b *block) runs() bool {
	_, not := b.orders["not run here"]
	return b.lang == "sh" && !not
}

// commands is whether the page has any that run.
func (p *page) commands() bool { return slices.ContainsFunc(p.blocks, (*block).runs) }

// says tells whether a block that runs holds the words.
func (p *page) says(words string) bool {
	return slices.ContainsFunc(p.blocks, func(b *block) bool {
		return b.runs() && strings.Contains(b.text+b.orders["first"], words)
	})
}
