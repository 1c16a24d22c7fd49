package watch

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/shared/fields"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// fieldsDecoder makes texts as the agent does, and nothing else.
type fieldsDecoder struct{}

func (fieldsDecoder) Decode(k Kind, raw, text []byte) (Object, error) {
	plan, err := fields.Compile(k.GroupKind, []fields.Group{{Path: "data", Fields: []string{"password"}}, {Path: "", Fields: []string{"type"}}})
	if err != nil {
		return Object{}, err
	}
	o, err := plan.ReadInto(raw, text)
	if err != nil {
		return Object{}, err
	}
	r := &topo.Resource{Ref: topo.Ref{Group: k.Group, Kind: k.GroupKind.Kind, Namespace: o.Namespace, Name: o.Name}, Labels: o.Labels}
	for _, m := range o.Matches {
		r.Facts = append(r.Facts, topo.Fact{Values: m.Values})
	}
	return Object{Resource: r, Text: o.Text, ResourceVersion: o.ResourceVersion}, nil
}

// No value of a Secret gets past the watch: not in a change, not in a manifest, and not in one that is read again; not
// by the annotation in which kubectl keeps the whole object either. Its keys do.
func TestNoSecretValueGetsPast(t *testing.T) {
	const value = "hunter2-is-secret"
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	secrets := Kind{GroupKind: topo.GroupKind{Kind: "Secret"}, Version: "v1", Plural: "secrets", Namespaced: true}
	for _, streamed := range []bool{true, false} {
		t.Run(fmt.Sprint("streamed ", streamed), func(t *testing.T) {
			f := newFakeAPI(t, secrets)
			f.with("secrets", func(k *fakeKind) {
				if !streamed {
					k.refuse["stream"] = 422
				}
				applied := fmt.Sprintf(`{\"kind\":\"Secret\",\"data\":{\"password\":\"%s\"},\"stringData\":{\"password\":\"%s\"}}`, encoded, value)
				k.objects["shop/db"] = fmt.Sprintf(`{"metadata":{"name":"db","namespace":"shop","resourceVersion":"7","annotations":{
					"kubectl.kubernetes.io/last-applied-configuration":"%s\n"}},"data":{"password":%q},"stringData":{"password":%q},"type":"Opaque"}`, applied, encoded, value)
			})
			v := watchFake(t, f, func(c *Config) { c.Manifests, c.Decoder = true, fieldsDecoder{} })
			v.sync()
			ref := topo.Ref{Kind: "Secret", Namespace: "shop", Name: "db"}
			c := v.objects[ref]
			again, found, err := v.src.Read(v.ctx, ref)
			if err != nil || !found {
				t.Fatalf("read again: %v, %v", found, err)
			}
			seen := fmt.Sprintf("%+v\n%s\n%s", *c.Resource, unpack(t, c.Body), unpack(t, again.Body))
			if strings.Contains(seen, value) || strings.Contains(seen, encoded) {
				t.Errorf("the value got past:\n%s", seen)
			}
			if !strings.Contains(seen, `"password":`) || !strings.Contains(seen, "Opaque") || again.Hash != c.Hash {
				t.Errorf("the text isn't what it should be:\n%s", seen)
			}
		})
	}
}

func unpack(t *testing.T, body []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	text, err := dec.DecodeAll(body, nil)
	if err != nil || len(text) == 0 {
		t.Fatalf("a body that can't be unpacked: %v", err)
	}
	return text
}
