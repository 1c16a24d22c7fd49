package httpapi

import (
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// FieldsParam leaves fields out of the items of a list, so that what isn't wanted isn't sent.
type FieldsParam struct {
	Fields []string `query:"fields" enum:"cluster,id,group,kind,namespace,name,uid,version,presence,created,labels,health,status,attrs,since" doc:"the fields that items are to have, parted by commas; all where it isn't given" example:"[\"cluster\",\"namespace\",\"name\"]"`
}

// someFields is a page of resources with fewer fields.
type someFields struct {
	query.Meta
	Items    []map[string]json.RawMessage `json:"items"`
	Total    query.Total                  `json:"total"`
	Continue string                       `json:"continue,omitempty"`
}

// project leaves out of a list what the request's "fields" doesn't name; which names there are, the parameter's schema has checked.
func project(ctx huma.Context, _ string, v any) (any, error) {
	list, ok := v.(*query.ResourceList)
	if !ok || ctx.Query("fields") == "" {
		return v, nil
	}
	wanted := strings.Split(ctx.Query("fields"), ",")
	out := &someFields{Meta: list.Meta, Items: make([]map[string]json.RawMessage, len(list.Items)), Total: list.Total, Continue: list.Continue}
	for i := range list.Items {
		text, err := json.Marshal(&list.Items[i])
		if err != nil {
			return nil, err
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		some := make(map[string]json.RawMessage, len(wanted))
		for _, name := range wanted {
			if value, has := all[name]; has {
				some[name] = value
			}
		}
		out.Items[i] = some
	}
	return out, nil
}
