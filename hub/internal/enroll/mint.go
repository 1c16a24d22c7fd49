package enroll

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Invitation lets one agent enrol as one cluster.
type Invitation struct {
	Cluster fleet.Cluster
	Token   string // the join token's text; nobody can show it again
	Expires time.Time
}

// Mint makes a cluster and the join token for its agent. Who asks needs Enroll on the whole tenant.
func (s *Service) Mint(ctx context.Context, by fleet.Principal, name string, labels map[string]string) (Invitation, error) {
	if !fleet.Can(by, fleet.Enroll, fleet.Scope{Tenant: by.Tenant}) {
		return Invitation{}, fault.New(fault.Forbidden, "adding a cluster needs the verb enroll on all clusters and namespaces")
	}
	if err := CheckCluster(name, labels); err != nil {
		return Invitation{}, err
	}
	c := fleet.Cluster{
		Tenant:    by.Tenant,
		ID:        fleet.NewClusterID(),
		Name:      name,
		Labels:    maps.Clone(labels),
		Created:   s.now(),
		Freshness: fleet.Freshness{State: fleet.Never, Since: s.now()},
	}
	if err := s.store.CreateCluster(ctx, c); err != nil {
		return Invitation{}, err
	}
	return s.invite(ctx, by, c)
}

// Invite makes a further join token for a cluster: its agent lost what it was enrolled with, or was away for longer than its
// certificate held. Who asks needs Enroll on the cluster.
func (s *Service) Invite(ctx context.Context, by fleet.Principal, id fleet.ClusterID) (Invitation, error) {
	if !fleet.Can(by, fleet.Enroll, fleet.Scope{Tenant: by.Tenant, Cluster: id}) {
		return Invitation{}, fault.New(fault.Forbidden, "a join token needs the verb enroll on the cluster and all its namespaces")
	}
	c, err := s.store.Cluster(ctx, store.Scope{Tenant: by.Tenant, Cluster: id})
	if err != nil {
		return Invitation{}, err
	}
	return s.invite(ctx, by, c)
}

func (s *Service) invite(ctx context.Context, by fleet.Principal, c fleet.Cluster) (Invitation, error) {
	token := join.NewToken(s.authority.Pin())
	record := store.JoinToken{
		ID:         token.ID,
		Scope:      store.Scope{Tenant: c.Tenant, Cluster: c.ID},
		SecretHash: token.Hash(),
		Expires:    s.now().Add(s.cfg.TokenLifetime),
		Created:    s.now(),
		CreatedBy:  by.Name,
	}
	if err := s.store.PutJoinToken(ctx, record); err != nil {
		return Invitation{}, err
	}
	s.log.Info("join token made", obs.About(ctx), zap.Stringer("cluster", c.ID), zap.String("token", token.ID), zap.String("by", by.Name))
	return Invitation{Cluster: c, Token: token.Full(), Expires: record.Expires}, nil
}

// maxName and maxLabels bound what people write on a cluster.
const (
	maxName   = 253
	maxLabels = 64
)

// CheckCluster tells whether a cluster may have that name and those labels; a BadRequest names each field that is wrong.
func CheckCluster(name string, labels map[string]string) error {
	refused := fault.New(fault.BadRequest, "the cluster's name or labels aren't valid")
	if why := checkName(name); why != "" {
		refused = refused.WithField("name", "%s", why)
	}
	if len(labels) > maxLabels {
		refused = refused.WithField("labels", "there may be %d at most", maxLabels)
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(labels[key])...)
		if len(problems) > 0 {
			refused = refused.WithField("labels."+key, "%s", strings.Join(problems, "; "))
		}
	}
	if len(refused.Fields) > 0 {
		return refused
	}
	return nil
}

// checkName is generous: names come from kubeconfig contexts and cloud providers too.
func checkName(name string) string {
	switch {
	case name == "":
		return "it must not be empty"
	case len(name) > maxName:
		return "it is too long: 253 bytes are allowed"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it may hold printable characters only"
	case strings.TrimSpace(name) != name:
		return "it must not begin or end with a space"
	}
	return ""
}
