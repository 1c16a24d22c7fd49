package search

import (
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

var noon = time.Unix(1_700_000_000, 0)

func like(key string, values ...string) store.Term {
	return store.Term{Key: key, Op: store.Like, Values: values}
}

func not(t store.Term) store.Term {
	t.Not = true
	return t
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Query{
		"": {},
		"kind:Pod ns:prod* image:nginx status!=Running cluster:eu-*": {
			Terms:    []store.Term{like("kind", "Pod"), like("namespace", "prod*"), like("image", "*nginx*"), not(like("status", "Running"))},
			Clusters: []ClusterTerm{{Values: []string{"eu-*"}}},
		},
		"web":                 {Terms: []store.Term{like("text", "*web*")}},
		"web-*":               {Terms: []store.Term{like("text", "web-*")}},
		`"a*b, c"`:            {Terms: []store.Term{like("text", `*a\*b, c*`)}},
		"-web":                {Terms: []store.Term{not(like("text", "*web*"))}},
		"-status!=Running":    {Terms: []store.Term{like("status", "Running")}},
		"kind:po,deploy,X.y":  {Terms: []store.Term{like("kind", "Pod", "Deployment", "X.y")}},
		"NS:a name=web":       {Terms: []store.Term{like("namespace", "a"), like("name", "web")}},
		"name:web":            {Terms: []store.Term{like("name", "*web*")}},
		"10.0.0.1":            {Terms: []store.Term{like("text", "*10.0.0.1*")}},
		"health:warn*,error":  {Terms: []store.Term{like("health", "warning", "error")}},
		"label.App/x=Web":     {Terms: []store.Term{like("label:App/x", "Web")}},
		"label:app=web":       {Terms: []store.Term{like("label:app", "web")}},
		"-label:app":          {Terms: []store.Term{not(like("label:app", "*"))}},
		`namespace:""`:        {Terms: []store.Term{like("namespace", "")}},
		"attr.storageClass:x": {Terms: []store.Term{like("attr:storageClass", "x")}},
		"restarts>3":          {Terms: []store.Term{{Key: "attr:restarts", Op: store.Greater, Values: []string{"3"}}}},
		"restarts>=3":         {Terms: []store.Term{{Key: "attr:restarts", Op: store.Greater, Values: []string{"2"}}}},
		"replicas<=0":         {Terms: []store.Term{{Key: "attr:replicas", Op: store.Less, Values: []string{"1"}}}},
		"age<1h":              {Terms: []store.Term{{Key: "created", Op: store.Greater, Values: []string{"1699996400"}}}},
		"age>2d":              {Terms: []store.Term{{Key: "created", Op: store.Less, Values: []string{"1699827200"}}}},
		"-cluster.env:prod":   {Clusters: []ClusterTerm{{Label: "env", Values: []string{"prod"}, Not: true}}},
		"größe":               {Terms: []store.Term{like("text", "*größe*")}},
	} {
		got, err := Parse(text, noon)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`kin:Pod`:                     `at character 1: "kin" is no key; the nearest is "kind"`,
		`kind:Pod status:`:            `at character 10: a value is missing`,
		`ä "open`:                     `at character 3: the quote isn't closed`,
		`kind:Pod,`:                   `at character 1: a value is missing`,
		`health:good`:                 `at character 1: health is never "good"; it is one of unknown, ok, progressing, warning, error`,
		`restarts>many`:               `at character 1: > compares with one whole number, not "many"`,
		`age:1h`:                      `at character 1: an age is compared: age<1h, age>30d`,
		`age<soon`:                    `at character 1: "soon" is no age; write 90s, 15m, 12h, 30d or 2w`,
		`cluster>3`:                   `at character 1: clusters aren't compared by >`,
		`label:a,b`:                   `at character 1: a label is written label.KEY=value, with alternatives for the value`,
		`""`:                          `at character 1: a value is missing`,
		strings.Repeat("a ", 41):      `has more than 40 terms`,
		strings.Repeat("a", 2001):     `is longer than 2000 bytes`,
		"a:" + strings.Repeat(",", 9): `at character 1: a value is missing`,
	} {
		_, err := Parse(text, noon)
		f := fault.Public(err)
		if f == nil || f.Code != fault.BadRequest || len(f.Fields) != 1 || f.Fields[0].Name != "q" || f.Fields[0].Reason != want {
			t.Errorf("%.40s: %+v, want %s", text, f, want)
		}
	}
}

func TestClusterTerms(t *testing.T) {
	labels := map[string]string{"env": "prod"}
	for text, want := range map[string]bool{
		"cluster:eu-*": true, "cluster:us-*": false, "-cluster:us-*": true, "cluster:c01": true, "cluster:us-*,EU-west": true,
		"cluster.env=prod": true, "cluster.env=test": false, "cluster.zone=a": false, "-cluster.zone=a": true,
	} {
		q, err := Parse(text, noon)
		if err != nil || q.Clusters[0].Fits("eu-west", "c01", labels) != want {
			t.Errorf("%s: not %v (%v)", text, want, err)
		}
	}
}

func TestLookUp(t *testing.T) {
	for name, want := range map[string]string{"ns": "namespace", "label": "label:", "label.app": "label:app", "image": "image", "attr.x": "attr:x"} {
		if got, err := LookUp(name); got != want || err != nil {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	for _, name := range []string{"nonsense", "age", "cluster"} {
		if _, err := LookUp(name); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMatch compares with path.Match, which knows the same wildcards besides classes and keeps them from "/".
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add(`\*`, "*")
	f.Add("*a*a*a*a*b", strings.Repeat("a", 40))
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.ContainsAny(pattern+text, "[]/\\") || strings.ToLower(pattern+text) != pattern+text || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		want, err := path.Match(pattern, text)
		if got := Match(pattern, text); err == nil && got != want {
			t.Errorf("%q on %q: %v", pattern, text, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`kind:Pod -label.app!="x\"y",b age>1d "free`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text, noon)
		if err != nil && !fault.Is(err, fault.BadRequest) {
			t.Error(err)
		}
		for _, term := range q.Terms {
			if term.Key == "" || len(term.Values) == 0 {
				t.Errorf("%q gives %+v", text, term)
			}
		}
	})
}

func TestThePageTellsEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../../docs/questions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys {
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/questions.md doesn't tell of %s", name)
			}
		}
	}
}
