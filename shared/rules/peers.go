package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// linkPeer reads a peer of a NetworkPolicy: its fields are podSelector, namespaceSelector and ipBlock. Pods are not
// linked one by one, since policies times pods is too many: one set stands for each distinct pair of selectors.
func linkPeer(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	pods, spaces := f.get(v.slots.fields[0]), f.get(v.slots.fields[1])
	if block := f.get(v.slots.fields[2]); block != "" {
		linkBlock(block, emit)
		return
	}
	podSel, err := parseSelector(pods, LabelSelector)
	nsSel, err2 := parseSelector(spaces, LabelSelector)
	if err != nil || err2 != nil {
		return
	}
	podText := wordOr(selectorText(podSel), "all pods")
	l := topo.Link{
		To:          topo.Ref{Group: OwnGroup, Kind: "PodSet", Namespace: r.Ref.Namespace, Name: podText},
		TargetAttrs: []topo.Pair{{Key: "podSelector", Value: selectorText(podSel)}},
	}
	if spaces != "" {
		l.To.Namespace = ""
		l.To.Name = podText + " in " + wordOr(selectorText(nsSel), "all namespaces")
		l.TargetAttrs = append([]topo.Pair{{Key: "namespaceSelector", Value: selectorText(nsSel)}}, l.TargetAttrs...)
	}
	l.To.Name = shortened(l.To.Name)
	emit(&l)
}

func linkBlock(raw string, emit func(*topo.Link)) {
	var block struct {
		CIDR   string
		Except []string
	}
	if json.Unmarshal([]byte(raw), &block) != nil || block.CIDR == "" {
		return
	}
	l := topo.Link{To: topo.Ref{Group: OwnGroup, Kind: "IPBlock", Name: block.CIDR}}
	if len(block.Except) > 0 {
		l.Attrs = []topo.Pair{{Key: "except", Value: strings.Join(block.Except, " ")}}
	}
	emit(&l)
}

func wordOr(text, empty string) string {
	if text == "" {
		return empty
	}
	return text
}

// longName is where the text of a selector is cut: names stand in columns and keys.
const longName = 200

func shortened(name string) string {
	if len(name) <= longName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.ToValidUTF8(name[:longName], "") + "… " + hex.EncodeToString(sum[:4])
}

// linkAnyPeer names whoever there is, for a rule without peers.
func linkAnyPeer(_ *variant, _ *topo.Resource, _ facts, emit func(*topo.Link)) {
	emit(&topo.Link{To: topo.Ref{Group: OwnGroup, Kind: "AnyPeer", Name: "anywhere"}})
}
