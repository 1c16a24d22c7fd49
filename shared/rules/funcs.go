package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
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

// maxOrdinals keeps a mistaken number of replicas from filling the graph: beyond it no claims are drawn. Pods that are
// there show theirs by their own rule.
const maxOrdinals = 2000

// linkClaims names the claims that a StatefulSet makes from a template: its fields are the template's name, the number
// of replicas and the first ordinal.
func linkClaims(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	name := f.get(v.slots.fields[0])
	replicas, err := strconv.Atoi(wordOr(f.get(v.slots.fields[1]), "1"))
	first, err2 := strconv.Atoi(wordOr(f.get(v.slots.fields[2]), "0"))
	if err != nil || err2 != nil || name == "" || replicas > maxOrdinals {
		return
	}
	for i := range max(replicas, 0) {
		claim := name + "-" + r.Ref.Name + "-" + strconv.Itoa(first+i)
		emit(&topo.Link{To: topo.Ref{Kind: "PersistentVolumeClaim", Name: claim}})
	}
}
