package auth

import (
	"net/http/httptest"
	"testing"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// The token of a launch lets in whoever has it, stands beside those that are kept, and is never kept itself.
func TestLaunchIsNotKept(t *testing.T) {
	kept := &memory{tokens: map[string]store.Token{}}
	c := credential.New(credential.API)
	tokens := New(WithLaunch(kept, 1, c.Text()), Config{}, zap.NewNop())
	ctx := t.Context()
	if text, err := tokens.Bootstrap(ctx, 1); text != "" || err != nil {
		t.Errorf("a first token is made beside it: %v", err)
	}
	ask := func(text string) (fleet.Principal, error) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		return tokens.Authenticate(r)
	}
	p, err := ask(c.Text())
	if err != nil || !fleet.Can(p, fleet.Admin, fleet.Scope{Tenant: 1}) || fleet.Can(p, fleet.Get, fleet.Scope{Tenant: 2}) {
		t.Errorf("%+v, %v", p, err)
	}
	other := credential.New(credential.API)
	other.ID = c.ID
	if _, err := ask(other.Text()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("its id with another secret: %v", err)
	}
	made, text, err := tokens.Issue(ctx, p, NewToken{Name: "more", Bindings: Everything()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(text); err != nil {
		t.Errorf("a token that it made: %v", err)
	}
	if list, err := tokens.Tokens(ctx, 1); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	if list, _ := tokens.Tokens(ctx, 2); len(list) != 0 {
		t.Errorf("another tenant has %v", list)
	}
	if err := tokens.Revoke(ctx, 1, c.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("it is revoked: %v", err)
	}
	if err := tokens.Revoke(ctx, 1, made.ID); err != nil {
		t.Error(err)
	}
	tokens.touch(ctx)
	if _, there := kept.tokens[c.ID]; there || len(kept.tokens) != 0 {
		t.Errorf("kept: %v", kept.tokens)
	}
	for _, id := range kept.touched {
		if id == c.ID {
			t.Error("its use is written down")
		}
	}
}
