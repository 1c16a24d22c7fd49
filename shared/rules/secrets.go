package rules

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What rules read of an object leaves the cluster: as names of targets, as attributes. Of Secrets they may therefore
// read only what cannot hold a value, whoever wrote the rule. Tools keep copies of an object in its annotations, so of
// these only the ones known to be names are readable.

var secretKind = topo.GroupKind{Kind: "Secret"}

var readableAnnotations = []string{
	"kubernetes.io/service-account.name", "kubernetes.io/service-account.uid",
	"cert-manager.io/certificate-name", "cert-manager.io/issuer-name", "cert-manager.io/issuer-kind", "cert-manager.io/issuer-group",
}

// readable tells whether a path may be read of a Secret.
func readable(p Path) bool {
	name := func(i int) string {
		if i < len(p) {
			return p[i].Field
		}
		return ""
	}
	switch name(0) {
	case "type", "immutable", "kind", "apiVersion":
		return true
	case "metadata":
		return name(1) != "" && name(1) != "annotations" && name(1) != "managedFields" ||
			name(1) == "annotations" && slices.Contains(readableAnnotations, name(2))
	}
	return false
}

// keepSecrets refuses a row written for Secrets that reads what may hold their values.
func (v *variant) keepSecrets() error {
	if !slices.Contains(v.kinds, secretKind) {
		return nil
	}
	for _, f := range v.fields {
		if full := slices.Concat(v.at, f); !readable(full) {
			return fault.New(fault.BadRequest, "the path %q may hold a Secret's values, which no rule reads", joinPieces(full))
		}
	}
	return nil
}

func joinPieces(p Path) string {
	text := ""
	for i, piece := range p.pieces() {
		if i > 0 {
			text += "*"
		}
		text += piece
	}
	return text
}

// ofSecret tells whether a row for every kind may be read of a Secret.
func (v *variant) ofSecret() bool {
	return !slices.ContainsFunc(v.fields, func(f Path) bool { return !readable(slices.Concat(v.at, f)) })
}
