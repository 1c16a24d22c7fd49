package ops

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// lastApplied is where kubectl keeps a copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// The masks of a Secret's values in diffs. That a value is another is told, the value isn't.
const (
	masked       = "***"
	maskedBefore = "*** (before)"
	maskedAfter  = "*** (after)"
)

// difference is the unified diff between two states of an object as YAML. Nil is that it isn't there.
func difference(f found, before, after map[string]any) (string, error) {
	name := f.ref(f.namespace, f.name).String()
	old, now := f.shown(before), f.shown(after)
	if before == nil && now != nil {
		if metadata, ok := now["metadata"].(map[string]any); ok { // that it gets these is no news
			delete(metadata, "uid")
			delete(metadata, "creationTimestamp")
		}
	}
	if isSecret(old) || isSecret(now) {
		maskSecrets(old, now)
	}
	a, err := yamlOf(old)
	if err != nil {
		return "", err
	}
	b, err := yamlOf(now)
	if err != nil {
		return "", err
	}
	text, err := udiff.ToUnified(name+" (live)", name+" (applied)", a, udiff.Lines(a, b), udiff.DefaultContextLines)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "the difference can't be worked out")
	}
	return text, nil
}

func yamlOf(o map[string]any) (string, error) {
	if o == nil {
		return "", nil
	}
	text, err := yaml.Marshal(o)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "an object can't be written as YAML")
	}
	return string(text), nil
}

// shown is a copy of an object without what changes by itself: a status that is written apart from the rest, and what the cluster counts.
func (k Kind) shown(o map[string]any) map[string]any {
	if o == nil {
		return nil
	}
	out := clone(o).(map[string]any)
	if slices.Contains(k.Subresources, "status") {
		delete(out, "status")
	}
	if metadata, ok := out["metadata"].(map[string]any); ok {
		for _, key := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(metadata, key)
		}
	}
	return out
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	default:
		return v
	}
}

func isSecret(o map[string]any) bool { return o["kind"] == "Secret" && o["apiVersion"] == "v1" }

// maskSecrets hides the values of two states of a Secret, and wherever else in its metadata they stand.
func maskSecrets(before, after map[string]any) {
	values := append(secretValues(before), secretValues(after)...)
	for _, field := range []string{"data", "stringData"} {
		maskPair(child(before, field), child(after, field))
	}
	for _, o := range []map[string]any{before, after} {
		for _, field := range []string{"annotations", "labels"} {
			hideIn(child(child(o, "metadata"), field), values)
		}
	}
}

func child(o map[string]any, key string) map[string]any {
	m, _ := o[key].(map[string]any)
	return m
}

func maskPair(before, after map[string]any) {
	for key, old := range before {
		now, both := after[key]
		switch {
		case both && old != now:
			before[key], after[key] = maskedBefore, maskedAfter
		case both:
			before[key], after[key] = masked, masked
		default:
			before[key] = masked
		}
	}
	for key := range after {
		if _, both := before[key]; !both {
			after[key] = masked
		}
	}
}

// secretValues are a Secret's values, each as it is and as it is encoded.
func secretValues(o map[string]any) (out []string) {
	for _, field := range []string{"data", "stringData"} {
		for _, v := range child(o, field) {
			text, ok := v.(string)
			if !ok || text == "" {
				continue
			}
			out = append(out, text)
			if plain, err := base64.StdEncoding.DecodeString(text); err == nil && field == "data" && len(plain) > 0 {
				out = append(out, string(plain))
			}
		}
	}
	return out
}

// hideIn hides annotations and labels that hold a copy.
func hideIn(texts map[string]any, values []string) {
	for key, v := range texts {
		text, _ := v.(string)
		held := key == lastApplied
		for _, value := range values {
			held = held || strings.Contains(text, value)
		}
		if held {
			texts[key] = masked
		}
	}
}

// same tells that two states of an object say the same, whoever manages which of its fields.
func (k Kind) same(before, after map[string]any) bool {
	return reflect.DeepEqual(k.shown(before), k.shown(after))
}

// decode reads an object. Numbers stay as they are written.
func decode(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the cluster's answer can't be read")
	}
	return out, nil
}
