package query

import (
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/search"
	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// marks gives what a query highlights, as texts.
func marks(t *testing.T, q string, attrs ...string) (out []string) {
	t.Helper()
	parsed, err := search.Parse(q, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := querytest.With(querytest.Node("Pod shop/web-Füße-1", "app=Web", "tier=front"), append(attrs, "images=docker.io/nginx:1 redis:7", "ip=10.0.0.1 fd00::1")...)
	for _, h := range newMarker(parsed.Terms).mark(&n) {
		var text string
		for _, f := range append(fieldsOf(&n, store.TextKey), fieldsOf(&n, "namespace")...) {
			if f.name == h.Field && h.Start >= f.at && h.Start-f.at+h.Length <= len([]rune(f.text)) {
				text = string([]rune(f.text)[h.Start-f.at : h.Start-f.at+h.Length])
			}
		}
		out = append(out, h.Field+"="+text)
	}
	slices.Sort(out)
	return out
}

func TestHighlights(t *testing.T) {
	for q, want := range map[string][]string{
		"web":             {"labels.app=Web", "name=web"},
		"ße-":             {"name=ße-"},
		"redis":           {"attrs.images=redis"},
		"image:redis*":    {"attrs.images=redis"},
		"image:nginx":     {"attrs.images=nginx"},
		"ip:fd00*":        {"attrs.ip=fd00"},
		"ns:sh*p":         {"namespace=shop"},
		"ns:sh":           nil, // doesn't fit
		"-web":            nil,
		"name:*":          nil,
		"label.tier=f?o*": {"labels.tier=fro"},
		"restarts>3":      nil,
	} {
		if got := marks(t, q); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", q, got, want)
		}
	}
}

func TestSearch(t *testing.T) {
	st, p := fresh(t)
	querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	q := New(st)
	where := func(text string) Where {
		parsed, err := search.Parse(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return Where{Terms: parsed.Terms}
	}
	out, err := q.Search(t.Context(), p, SearchQuestion{Where: where("kind:pod nginx")})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Items) != 2 || out.More || !out.Total.Exact || len(out.Items[0].Highlights) != 2 || len(out.Freshness) != 1 {
		t.Errorf("%+v", out)
	}
	if out, err = q.Search(t.Context(), p, SearchQuestion{Where: where("web"), Limit: 3}); err != nil || len(out.Items) != 3 || !out.More || out.Items[0].Name != "web" {
		t.Errorf("%+v %v", out, err)
	}
	if out, err = q.Search(t.Context(), may(p.Tenant, "vault"), SearchQuestion{Where: where("a")}); err != nil || len(out.Items) != 2 {
		t.Errorf("what may be seen: %+v %v", out, err)
	}
	values, err := q.Values(t.Context(), p, ValuesQuestion{Key: "namespace"})
	if err != nil || len(values.Items) < 2 || values.Items[0].Text != "mall" {
		t.Errorf("%+v %v", values, err)
	}
	if values, err = q.Values(t.Context(), p, ValuesQuestion{Key: store.LabelKey + "app", Prefix: "w"}); err != nil || len(values.Items) != 1 || values.Items[0].Text != "web" {
		t.Errorf("%+v %v", values, err)
	}
	// The language narrows lists and graphs as well.
	list, err := q.List(t.Context(), p, where("status!=Active kind:Pod health:error,warning"), Page{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "sad" {
		t.Errorf("%+v %v", list, err)
	}
}
