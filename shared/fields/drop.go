package fields

import (
	"bytes"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// drop says what of a place is left out of an object's text.
type drop struct {
	names  map[string]*drop
	each   *drop
	whole  bool                                // all of it
	values bool                                // the values of its entries, while their names stay
	unfit  func(key string, value []byte) bool // entries that this tells
}

// heartbeats are annotations that only say that somebody is alive.
var heartbeats = map[string]bool{
	"control-plane.alpha.kubernetes.io/leader":         true,
	"endpoints.kubernetes.io/last-change-trigger-time": true,
	"autoscaling.alpha.kubernetes.io/current-metrics":  true,
	"kubectl.kubernetes.io/last-applied-configuration": true,
}

// embeds tells annotations that hold an object, this one in an earlier state mostly, and those that only beat.
func embeds(key string, value []byte) bool {
	return heartbeats[key] || bytes.HasPrefix(value, []byte(`"{`)) && bytes.Contains(value, []byte(`\"kind\"`))
}

// maySpill tells annotations of Secrets that may hold their values: those that hold an object in whatever form, and long ones.
func maySpill(key string, value []byte) bool {
	return embeds(key, value) || bytes.HasPrefix(value, []byte(`"{`)) || bytes.HasPrefix(value, []byte(`"[`)) || len(value) > maxSecretAnnotation
}

// maxSecretAnnotation is the longest annotation of a Secret that is shared, in bytes of JSON.
const maxSecretAnnotation = 256

// dropsOf lists what is left out of the texts of a kind: what says the same twice, what changes without anything having changed, and what is
// nobody's business.
func dropsOf(kind topo.GroupKind) *drop {
	annotations := &drop{unfit: embeds}
	d := &drop{names: map[string]*drop{"metadata": {names: map[string]*drop{
		"managedFields": {whole: true}, "resourceVersion": {whole: true}, "selfLink": {whole: true}, "annotations": annotations,
	}}}}
	switch kind {
	case topo.GroupKind{Kind: "Secret"}:
		annotations.unfit = maySpill
		d.names["data"] = &drop{values: true}
		d.names["stringData"] = &drop{values: true}
	case topo.GroupKind{Kind: "Node"}:
		d.names["status"] = &drop{names: map[string]*drop{"conditions": {each: &drop{names: map[string]*drop{"lastHeartbeatTime": {whole: true}}}}}}
	case topo.GroupKind{Group: "coordination.k8s.io", Kind: "Lease"}:
		d.names["spec"] = &drop{names: map[string]*drop{"renewTime": {whole: true}}}
	}
	return d
}
