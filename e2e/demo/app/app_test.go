package app

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func load(t *testing.T, region string) (objs []unstructured.Unstructured) {
	t.Helper()
	data, err := Manifests(region)
	if err != nil {
		t.Fatal(err)
	}
	for docs := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data)); ; {
		var u unstructured.Unstructured
		if err := docs.Decode(&u.Object); errors.Is(err, io.EOF) {
			return objs
		} else if err != nil {
			t.Fatal(err)
		}
		objs = append(objs, u)
	}
}

// The demo must show every kind it promises, and no two objects may be the same.
func TestRegionsAreComplete(t *testing.T) {
	kinds := []string{
		"Namespace", "CustomResourceDefinition", "Promotion", "ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole",
		"ClusterRoleBinding", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "PersistentVolumeClaim", "Service", "Ingress",
		"IngressClass", "NetworkPolicy", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PriorityClass", "LimitRange", "ResourceQuota",
	}
	for _, region := range Regions() {
		seen := map[string]bool{}
		for _, o := range load(t, region) {
			seen[o.GetKind()] = true
			id := o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
			if seen[id] {
				t.Errorf("%s: %s comes twice", region, id)
			}
			seen[id] = true
		}
		for _, k := range kinds {
			if !seen[k] {
				t.Errorf("%s has no %s", region, k)
			}
		}
	}
}

// There is one mistake, the one that is documented: everything else that a workload names exists.
func TestOnlyTheDeliberateMistake(t *testing.T) {
	want := map[string][]string{"eu": {MistakeNamespace + "/ConfigMap/" + MissingConfigMap}, "us": nil}
	for _, region := range Regions() {
		objs, have := load(t, region), map[string]bool{}
		for _, o := range objs {
			have[o.GetNamespace()+"/"+o.GetKind()+"/"+o.GetName()] = true
		}
		var missing []string
		for _, o := range objs {
			for _, ref := range references(o.Object) {
				if id := o.GetNamespace() + "/" + ref; !have[id] && !slices.Contains(missing, id) {
					missing = append(missing, id)
				}
			}
		}
		if !slices.Equal(missing, want[region]) {
			t.Errorf("%s: missing %v, want %v", region, missing, want[region])
		}
	}
}

// references finds what Pod templates name, by the field's name wherever it is.
func references(v any) (refs []string) {
	kinds := map[string]string{
		"configMapRef": "ConfigMap", "configMapKeyRef": "ConfigMap", "configMap": "ConfigMap",
		"secretRef": "Secret", "secretKeyRef": "Secret", "secret": "Secret",
	}
	names := map[string]string{"serviceAccountName": "ServiceAccount", "claimName": "PersistentVolumeClaim", "secretName": "Secret"}
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if m, ok := child.(map[string]any); ok && kinds[key] != "" && m["name"] != nil {
				refs = append(refs, kinds[key]+"/"+m["name"].(string))
			}
			if s, ok := child.(string); ok && names[key] != "" {
				refs = append(refs, names[key]+"/"+s)
			}
			refs = append(refs, references(child)...)
		}
	case []any:
		for _, child := range v {
			refs = append(refs, references(child)...)
		}
	}
	return refs
}

func TestUnknownRegion(t *testing.T) {
	if _, err := Manifests("mars"); err == nil {
		t.Error("there are manifests for mars")
	}
}
