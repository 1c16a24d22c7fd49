package kubefleet

import (
	"net/http"
	"slices"

	"github.com/munnerz/goautoneg"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// form is how objects are told.
type form struct {
	as      string // asTable, asMetadata, or "" for the objects themselves
	version string // of meta.k8s.io
}

// The forms besides objects.
const (
	asTable    = "Table"
	asMetadata = "PartialObjectMetadata"
)

// formOf picks the first form of an Accept header that can be had. Only JSON is spoken: clients that like protobuf better name JSON behind it.
func formOf(accept string) (form, error) {
	if accept == "" {
		return form{}, nil
	}
	for _, c := range goautoneg.ParseAccept(accept) {
		if !takesJSON(c) {
			continue
		}
		as := c.Params["as"]
		if as == "" {
			return form{}, nil
		}
		if as == asMetadata+"List" {
			as = asMetadata
		}
		known := slices.Contains([]string{asTable, asMetadata}, as) && slices.Contains([]string{"v1", "v1beta1"}, c.Params["v"])
		if known && c.Params["g"] == metav1.GroupName {
			return form{as, c.Params["v"]}, nil
		}
	}
	return form{}, failure(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: application/json, also as Table, PartialObjectMetadata and PartialObjectMetadataList of meta.k8s.io/v1")
}

func takesJSON(c goautoneg.Accept) bool {
	return c.Type == "application" && (c.SubType == "json" || c.SubType == "*") || c.Type == "*" && c.SubType == "*"
}

// apiVersion is that of the forms' documents.
func (f form) apiVersion() string { return metav1.GroupName + "/" + f.version }
