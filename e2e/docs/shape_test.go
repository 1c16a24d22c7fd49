package docs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// resembles tells what of a page's sample output isn't in the real one.
func resembles(sample *block, got string) error {
	if sample.lang == "json" {
		return resemblesJSON(sample.text, got)
	}
	return resemblesText(sample.text, got)
}

var (
	varies = regexp.MustCompile(`[^\s"',:;()=]*[0-9][^\s"',:;()=]*`)
	spaces = regexp.MustCompile(`\s+`)
)

// pattern makes of a line of a sample what real ones match: words with digits and … stand for any, and blanks for blanks.
func pattern(line string) *regexp.Regexp {
	line = spaces.ReplaceAllString(strings.TrimSpace(line), " ")
	line = strings.ReplaceAll(varies.ReplaceAllString(line, "…"), "… …", "…")
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + "$")
}

// resemblesText wants each line of the sample, in its order; there may be more between them.
func resemblesText(sample, got string) error {
	rest := strings.Split(strings.TrimSpace(got), "\n")
	for line := range strings.Lines(strings.TrimSpace(sample)) {
		if line = strings.TrimSpace(line); line == "" || line == "…" {
			continue
		}
		p, found := pattern(line), false
		for len(rest) > 0 && !found {
			found = p.MatchString(spaces.ReplaceAllString(strings.TrimSpace(rest[0]), " "))
			rest = rest[1:]
		}
		if !found {
			return fmt.Errorf("no line like %q, in its place", line)
		}
	}
	return nil
}

// resemblesJSON wants each member of the sample, with a value of the same type; of lists, an element for each of the sample's.
func resemblesJSON(sample, got string) error {
	var want, have any
	if err := json.Unmarshal([]byte(sample), &want); err != nil {
		return fmt.Errorf("the sample is no JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		return fmt.Errorf("the output is no JSON: %w", err)
	}
	return like("$", want, have)
}

func like(at string, want, have any) error {
	switch want := want.(type) {
	case map[string]any:
		members, ok := have.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %T, no object", at, have)
		}
		for k, w := range want {
			h, ok := members[k]
			if !ok {
				return fmt.Errorf("%s has no member %q", at, k)
			}
			if err := like(at+"."+k, w, h); err != nil {
				return err
			}
		}
	case []any:
		elements, ok := have.([]any)
		if !ok {
			return fmt.Errorf("%s is %T, no list", at, have)
		}
		for i, w := range want {
			err := fmt.Errorf("%s is empty", at)
			for _, h := range elements {
				if err = like(fmt.Sprintf("%s[%d]", at, i), w, h); err == nil {
					break
				}
			}
			if err != nil {
				return err
			}
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", have) {
			return fmt.Errorf("%s is %T, not %T", at, have, want)
		}
	}
	return nil
}

// The comparison finds what it is for.
func TestResemblance(t *testing.T) {
	for _, c := range []struct {
		lang, sample, got string
		same              bool
	}{
		{"text", "NAME   AGE\nweb-1  3h\n", "NAME     AGE\nweb-77a  2d\n", true},
		{"text", "NAME   AGE\nweb-1  3h\n", "NAME     STATUS   AGE\nweb-77a  ok  2d\n", false},
		{"text", "first\n…\nlast\n", "first\nmore\nlast\n", true},
		{"text", "first\nlast\n", "last\nfirst\n", false},
		{"text", "token …\n", "token kbt1.x.y\n", true},
		{"json", `{"items": [{"id": "c1", "n": 1}], "more": false}`, `{"items": [{"id": "x", "n": 7, "z": null}, {}], "more": true}`, true},
		{"json", `{"items": [{"id": "c1"}]}`, `{"items": []}`, false},
		{"json", `{"n": 1}`, `{"n": "1"}`, false},
		{"json", `{"n": 1}`, `{"m": 1}`, false},
		{"json", `{"n": 1}`, `no`, false},
	} {
		if err := resembles(&block{lang: c.lang, text: c.sample}, c.got); (err == nil) != c.same {
			t.Errorf("%q beside %q: %v", c.sample, c.got, err)
		}
	}
}
