package httpapi

import "testing"

func TestGraphsHavePlacesWhereAskedFor(t *testing.T) {
	r := newRig(t, options{})
	root := "/api/v1/clusters/" + r.shop.ID.String() + "/topology"
	for query, boxed := range map[string]bool{"?layout=layered": true, "?layout=packed": true, "?layout=grid": false, "?layout=radial&focus=Service/shop/web&depth=2": false} {
		a := r.get(r.admin, root+query)
		a.expect(t, 200)
		nodes := a.json["nodes"].([]any)
		at, _ := a.json["layout"].(map[string]any)
		if at == nil || len(at["x"].([]any)) != len(nodes) || (len(at["boxes"].([]any)) > 0) != boxed || at["width"].(float64) < 150 {
			t.Errorf("%s: %d nodes, places %v", query, len(nodes), at)
		}
	}
	if a := r.get(r.admin, root); a.json["layout"] != nil {
		t.Error("places that nobody asked for")
	}
	r.get(r.admin, root+"?layout=force").expect(t, 400, "radial")
}
