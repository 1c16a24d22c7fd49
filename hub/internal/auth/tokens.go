package auth

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// NewToken says what an API token is to be. A zero Expires is never, or when the token of who asks ends.
type NewToken struct {
	Name     string
	Groups   []string
	Bindings []fleet.Binding
	Expires  time.Time
}

// What a token may hold.
const (
	maxName     = 253
	maxGroups   = 64
	maxBindings = 64
	maxTriples  = 10_000 // of verb, cluster and namespace, over all bindings: what checking them costs
)

// Issue makes a token and gives its text, which nobody can show again. Who asks needs Admin on the whole tenant, and can give only what
// he has.
func (t *Tokens) Issue(ctx context.Context, by fleet.Principal, want NewToken) (store.Token, string, error) {
	if !fleet.Can(by, fleet.Admin, fleet.Scope{Tenant: by.Tenant}) {
		return store.Token{}, "", fault.New(fault.Forbidden, "making tokens needs the verb admin on all clusters and namespaces")
	}
	if err := check(want, t.now()); err != nil {
		return store.Token{}, "", err
	}
	if err := withinOwn(by, &want); err != nil {
		return store.Token{}, "", err
	}
	made, text, err := t.put(ctx, by.Tenant, want, by.Name)
	if err == nil {
		t.log.Info("API token made", obs.About(ctx), zap.String("token", made.ID), zap.String("name", made.Name), zap.String("by", by.Name))
	}
	return made, text, err
}

func (t *Tokens) put(ctx context.Context, tenant fleet.TenantID, want NewToken, by string) (store.Token, string, error) {
	c := credential.New(credential.API)
	made := store.Token{
		ID: c.ID, Tenant: tenant, Name: want.Name, Groups: want.Groups, Bindings: want.Bindings,
		SecretHash: c.Hash(), Created: t.now(), Expires: want.Expires, CreatedBy: by,
	}
	if err := t.store.PutToken(ctx, made); err != nil {
		return store.Token{}, "", err
	}
	return made, c.Text(), nil
}

// Tokens lists the tokens of a tenant. Their secrets are known to nobody here.
func (t *Tokens) Tokens(ctx context.Context, tenant fleet.TenantID) ([]store.Token, error) {
	return t.store.Tokens(ctx, tenant)
}

// Revoke ends a token: here at once, at other replicas within seconds. NotFound when the tenant has no such token.
func (t *Tokens) Revoke(ctx context.Context, tenant fleet.TenantID, id string) error {
	err := t.store.DeleteToken(ctx, tenant, id)
	if err == nil {
		t.known.Remove(id)
		t.log.Info("API token revoked", obs.About(ctx), zap.String("token", id))
	}
	return err
}

// Bootstrap makes a token that may do everything, if the tenant has none at all, and gives its text; "" when there are some. The text is to
// be shown to whoever starts the hub and kept nowhere.
func (t *Tokens) Bootstrap(ctx context.Context, tenant fleet.TenantID) (string, error) {
	have, err := t.store.Tokens(ctx, tenant)
	if err != nil || len(have) > 0 {
		return "", err
	}
	everything := []string{fleet.All}
	want := NewToken{Name: "bootstrap-admin", Bindings: []fleet.Binding{{Verbs: everything, Clusters: everything, Namespaces: everything}}}
	made, text, err := t.put(ctx, tenant, want, "the hub")
	if err == nil {
		t.log.Info("the first API token was made", zap.String("token", made.ID), zap.String("name", made.Name))
	}
	return text, err
}

// withinOwn holds a new token to what its maker has. A maker's own end becomes that of a token without one.
func withinOwn(by fleet.Principal, want *NewToken) error {
	for _, b := range want.Bindings {
		if !fleet.Grants(by, b) {
			return fault.New(fault.Forbidden, "the bindings permit more than your own do")
		}
	}
	everything := fleet.Binding{Verbs: []string{fleet.All}, Clusters: []string{fleet.All}, Namespaces: []string{fleet.All}}
	for _, g := range want.Groups {
		if !slices.Contains(by.Groups, g) && !fleet.Grants(by, everything) {
			return fault.New(fault.Forbidden, "you aren't in the group %q yourself", g)
		}
	}
	switch {
	case by.Expires.IsZero():
	case want.Expires.IsZero():
		want.Expires = by.Expires
	case want.Expires.After(by.Expires):
		return fault.New(fault.Forbidden, "your own token ends at %s; one that you make can't last longer", by.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// check gives a BadRequest that names each field that is wrong.
func check(want NewToken, now time.Time) error {
	refused := fault.New(fault.BadRequest, "the token can't be made so")
	if why := checkName(want.Name); why != "" {
		refused = refused.WithField("name", "%s", why)
	}
	if len(want.Groups) > maxGroups {
		refused = refused.WithField("groups", "there may be %d at most", maxGroups)
	} else if i := slices.IndexFunc(want.Groups, func(g string) bool { return checkName(g) != "" }); i >= 0 {
		refused = refused.WithField("groups", "%q: %s", want.Groups[i], checkName(want.Groups[i]))
	}
	if !want.Expires.IsZero() && !want.Expires.After(now) {
		refused = refused.WithField("expires", "it is past already")
	}
	if why := checkBindings(want.Bindings); why != "" {
		refused = refused.WithField("bindings", "%s", why)
	}
	if len(refused.Fields) > 0 {
		return refused
	}
	return nil
}

// checkName is for names and groups. Those of Kubernetes itself can't be taken: a group of that name could end up there.
func checkName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "it must not be empty"
	case len(name) > maxName:
		return "it is too long: 253 bytes are allowed"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it may hold printable characters only"
	case strings.HasPrefix(name, "system:"):
		return "names that begin with system: belong to Kubernetes"
	}
	return ""
}

func checkBindings(bindings []fleet.Binding) string {
	if len(bindings) == 0 || len(bindings) > maxBindings {
		return "there must be 1 to 64"
	}
	triples := 0
	for _, b := range bindings {
		if len(b.Verbs) == 0 || len(b.Clusters) == 0 || len(b.Namespaces) == 0 {
			return "verbs, clusters and namespaces must each be named; \"*\" stands for all"
		}
		if triples += len(b.Verbs) * len(b.Clusters) * len(b.Namespaces); triples > maxTriples {
			return "they are too many: use \"*\""
		}
		if why := checkBinding(b); why != "" {
			return why
		}
	}
	return ""
}

func checkBinding(b fleet.Binding) string {
	for _, v := range b.Verbs {
		if v != fleet.All && !slices.Contains(fleet.Verbs, fleet.Verb(v)) {
			return "there is no verb \"" + v + "\""
		}
	}
	for _, c := range b.Clusters {
		if id, err := fleet.ParseClusterID(c); c != fleet.All && (err != nil || id == 0) {
			return "\"" + c + "\" is no cluster's id"
		}
	}
	for _, n := range b.Namespaces {
		if n != fleet.All && len(validation.IsDNS1123Label(n)) > 0 {
			return "\"" + n + "\" is no namespace's name"
		}
	}
	return ""
}
