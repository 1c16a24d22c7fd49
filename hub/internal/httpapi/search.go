package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/search"
)

func (a *API) search() {
	read(a, route(http.MethodGet, "/api/v1/search", "search", "Look for resources of all clusters, by a query or a word", "search"), a.find)
	read(a, route(http.MethodGet, "/api/v1/search/values", "list-values", "Values that a key of the query language has, as they are typed", "search"), a.values)
	handle(a, route(http.MethodGet, "/api/v1/search/keys", "list-keys", "The keys of the query language", "search"),
		func(context.Context, *struct{}) (*body[KeyList], error) { return &body[KeyList]{keyList()}, nil })
	fresh(a, route(http.MethodGet, "/api/v1/topology/findings", "list-findings", "What is wrong with the graph: missing, dangling, idle, unused, circular", "topology"), a.findings)
}

type searchInput struct {
	ClustersParam
	AtParam
	Q     string `query:"q" required:"true" minLength:"1" maxLength:"2000" doc:"as everywhere" example:"kind:Pod ns:prod* image:nginx status!=Running cluster:eu-*"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" doc:"50 where it isn't given"`
}

func (a *API) find(ctx context.Context, p fleet.Principal, in *searchInput) (*query.SearchResult, error) {
	which := WhichParams{ClustersParam: in.ClustersParam, QueryParam: QueryParam{in.Q}, AtParam: in.AtParam}
	p, where, err := which.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Search(ctx, p, query.SearchQuestion{Where: where, Limit: in.Limit})
}

type valuesInput struct {
	WhichParams
	Key    string `query:"key" required:"true" doc:"a key of the query language; label for the labels' own keys" example:"ns"`
	Prefix string `query:"prefix" doc:"what was typed of the value"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"20 where it isn't given"`
}

func (a *API) values(ctx context.Context, p fleet.Principal, in *valuesInput) (*query.ValueList, error) {
	key, err := search.LookUp(in.Key)
	if err != nil {
		return nil, err
	}
	p, where, err := in.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Values(ctx, p, query.ValuesQuestion{Where: where, Key: key, Prefix: in.Prefix, Limit: in.Limit})
}

// KeyList is the keys of the query language.
type KeyList struct {
	Items []LanguageKey `json:"items"`
}

// LanguageKey is a key of the query language.
type LanguageKey struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Doc     string   `json:"doc"`
	Values  []string `json:"values,omitempty" doc:"all that there are, where these are few"`
}

func keyList() KeyList {
	out := KeyList{Items: []LanguageKey{}}
	for _, k := range search.Keys {
		out.Items = append(out.Items, LanguageKey{Name: k.Name, Aliases: k.Aliases, Doc: k.Doc, Values: k.Words})
	}
	return KeyList{append(out.Items,
		LanguageKey{Name: "label.KEY", Doc: "a label of the resource"},
		LanguageKey{Name: "attr.KEY", Doc: "an attribute of the resource"},
		LanguageKey{Name: "cluster.KEY", Doc: "a label of the cluster"},
	)}
}

type findingsInput struct {
	WhichParams
	Finding  []string `query:"finding,explode" doc:"kinds of findings; all where none is given" enum:"missing-target,dangling-binding,nothing-to-scale,missing-owner,ungranted-reference,selects-nothing,protects-nothing,owner-cycle,plugin,unused"`
	Severity []string `query:"severity,explode" enum:"error,warning,info" doc:"all where none is given"`
	PageParams
}

func (a *API) findings(ctx context.Context, p fleet.Principal, in *findingsInput) (*query.Findings, error) {
	p, where, err := in.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Findings(ctx, p, query.FindingQuestion{Where: where, Findings: words(in.Finding), Severities: words(in.Severity), Page: in.page()})
}
