package health

import (
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// The attributes that tell what an object belongs to, for every kind.
const (
	appAttr     = "app"     // the application
	releaseAttr = "release" // the Helm release, "namespace/name"
)

// The sources of an application's name, the better first. Between the labels stand two annotations.
const (
	byPartOf = iota
	byInstance
	byHelm
	byArgo
	byFlux
	byName
	byApp
	nowhere
)

// sourceOf ranks a label.
func sourceOf(key string) int {
	switch key {
	case "app.kubernetes.io/part-of":
		return byPartOf
	case "app.kubernetes.io/instance":
		return byInstance
	case "argocd.argoproj.io/instance":
		return byArgo
	case "kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name":
		return byFlux
	case "app.kubernetes.io/name":
		return byName
	case "app", "k8s-app":
		return byApp // "app" comes first, as labels are sorted
	}
	return nowhere
}

// belonging adds what the object belongs to, by its labels and annotations, where it says so.
func belonging(attrs []topo.Pair, f Facts, labels []topo.Pair) []topo.Pair {
	app, source, helm := "", nowhere, false
	for _, l := range labels {
		if s := sourceOf(l.Key); s < source && l.Value != "" {
			app, source = l.Value, s
		}
		helm = helm || l.Key == "app.kubernetes.io/managed-by" && l.Value == "Helm"
	}
	release := name(f.value(ofObject, 4))
	if tracked, _, ok := strings.Cut(f.value(ofObject, 6), ":"); ok && byArgo < source && name(tracked) != "" {
		app, source = tracked, byArgo
	}
	if helm && release != "" && byHelm < source {
		app = release
	}
	attrs = added(attrs, appAttr, app)
	if release != "" {
		release = cmpOr(name(f.value(ofObject, 5)), f.value(ofObject, 3)) + "/" + release
	}
	return added(attrs, releaseAttr, release)
}

// added puts an attribute in its place.
func added(attrs []topo.Pair, key, value string) []topo.Pair {
	if value == "" {
		return attrs
	}
	at, _ := slices.BinarySearchFunc(attrs, key, func(p topo.Pair, key string) int { return strings.Compare(p.Key, key) })
	return slices.Insert(attrs, at, topo.Pair{Key: key, Value: value})
}

// maxName is the longest name of an object in Kubernetes.
const maxName = 253

// name is a text that may be a name, or nothing: annotations hold whatever people write, also what nobody should see.
func name(text string) string {
	if len(text) > maxName {
		return ""
	}
	for _, c := range []byte(text) {
		if c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return ""
		}
	}
	return text
}
