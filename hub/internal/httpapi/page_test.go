package httpapi

import (
	"os"
	"strings"
	"testing"
)

// docs/api.md tells of every operation of the document, by method and path, with the abbreviations that it explains itself.
func TestThePageTellsEveryOperation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.NewReplacer(" OBJECT", " "+resourceRoot, " CLUSTER", " "+clusterRoot).Replace(string(text))
	r := newRig(t, options{noShop: true})
	operations := 0
	for path, item := range r.get(r.admin, "/api/v1/openapi.json").json["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			operations++
			if what := strings.ToUpper(method) + " " + path; !strings.Contains(page, "`"+what+"`") {
				t.Errorf("docs/api.md doesn't tell of %s", what)
			}
		}
	}
	if told := strings.Count(page, "`GET /") + strings.Count(page, "`POST /") + strings.Count(page, "`PUT /") + strings.Count(page, "`PATCH /") + strings.Count(page, "`DELETE /"); told < operations || operations < 80 {
		t.Errorf("%d operations, %d told", operations, told)
	}
}
