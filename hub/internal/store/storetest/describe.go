package storetest

import (
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// describe: the database tells its schema and its tables, among them those that everything stands on.
func describe(t *testing.T, h *house) {
	d, err := h.Store.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Body == "" || d.Version == "" || d.Schema == 0 || d.Bytes == 0 {
		t.Errorf("it tells %+v", d)
	}
	for _, name := range []string{"clusters", "resources", "resources_history", "audit", "tenants"} {
		if !slices.ContainsFunc(d.Tables, func(t store.Table) bool { return t.Name == name }) {
			t.Errorf("the table %s is missing in %+v", name, d.Tables)
		}
	}
}
