package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func (a *API) tokens() {
	post := route(http.MethodPost, "/api/v1/tokens", "create-token", "Make an API token", "tokens")
	post.DefaultStatus = http.StatusCreated
	handle(a, post, a.createToken)
	handle(a, route(http.MethodGet, "/api/v1/tokens", "list-tokens", "List API tokens", "tokens"), a.listTokens)
	handle(a, route(http.MethodGet, "/api/v1/tokens/{token}", "get-token", "Get an API token, without its secret", "tokens"), a.getToken)
	handle(a, route(http.MethodDelete, "/api/v1/tokens/{token}", "revoke-token", "Revoke an API token", "tokens"), a.revokeToken)
}

// Token is an API token without its secret.
type Token struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Groups    []string        `json:"groups"`
	Bindings  []fleet.Binding `json:"bindings"`
	Created   time.Time       `json:"created"`
	CreatedBy string          `json:"createdBy"`
	Expires   *time.Time      `json:"expires,omitempty" doc:"absent: never"`
	LastUsed  *time.Time      `json:"lastUsed,omitempty" doc:"to about the minute"`
}

func tokenOf(t store.Token) Token {
	out := Token{
		ID: t.ID, Name: t.Name, Groups: t.Groups, Bindings: t.Bindings, Created: t.Created.UTC(), CreatedBy: t.CreatedBy,
		Expires: instant(t.Expires), LastUsed: instant(t.LastUsed),
	}
	if out.Groups == nil {
		out.Groups = []string{}
	}
	if out.Bindings == nil {
		out.Bindings = []fleet.Binding{}
	}
	return out
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// IssuedToken is an API token with its secret, which nobody can show again.
type IssuedToken struct {
	Token
	Secret string `json:"secret" doc:"what goes into Authorization: Bearer …; shown once"`
}

// TokenList is a tenant's tokens.
type TokenList struct {
	Items []Token `json:"items"`
}

type createTokenInput struct {
	Body struct {
		Name     string          `json:"name" minLength:"1" maxLength:"253" doc:"who acts with it, in logs and audit"`
		Groups   []string        `json:"groups,omitempty" maxItems:"64"`
		Bindings []fleet.Binding `json:"bindings" minItems:"1" maxItems:"256" doc:"what it may do: verbs on namespaces of clusters; * is all of them"`
		Expires  *time.Time      `json:"expires,omitempty" doc:"never, where it isn't given"`
	}
	Replayable
}

// administrator is who may manage tokens: the whole tenant's.
func administrator(ctx context.Context) (fleet.Principal, error) {
	p := principalOf(ctx)
	if !fleet.Can(p, fleet.Admin, fleet.Scope{Tenant: p.Tenant}) {
		return p, fault.New(fault.Forbidden, "this needs the verb %q on all clusters and namespaces", fleet.Admin)
	}
	return p, nil
}

func (a *API) createToken(ctx context.Context, in *createTokenInput) (*body[IssuedToken], error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	want := auth.NewToken{Name: in.Body.Name, Groups: in.Body.Groups, Bindings: in.Body.Bindings}
	if in.Body.Expires != nil {
		want.Expires = *in.Body.Expires
	}
	made, secret, err := a.cfg.Tokens.Issue(ctx, p, want)
	if err != nil {
		return nil, err
	}
	named(ctx, made.ID)
	return &body[IssuedToken]{IssuedToken{Token: tokenOf(made), Secret: secret}}, nil
}

func (a *API) listTokens(ctx context.Context, _ *struct{}) (*body[TokenList], error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.cfg.Tokens.Tokens(ctx, p.Tenant)
	out := TokenList{Items: make([]Token, 0, len(list))}
	for _, t := range list {
		out.Items = append(out.Items, tokenOf(t))
	}
	return &body[TokenList]{out}, err
}

type tokenPath struct {
	Token string `path:"token" doc:"id of the token"`
}

func (a *API) getToken(ctx context.Context, in *tokenPath) (*body[Token], error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	list, err := a.cfg.Tokens.Tokens(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if t.ID == in.Token {
			return &body[Token]{tokenOf(t)}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no token %q", in.Token)
}

func (a *API) revokeToken(ctx context.Context, in *tokenPath) (*struct{}, error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Tokens.Revoke(ctx, p.Tenant, in.Token)
}
