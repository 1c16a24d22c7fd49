package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	rowRounds = 100_000
	selectors = 20
	podLinks  = 3 + 6 + 10 // owner, Node and account; volumes; references of the environment
)

// fullRowSet updates a Pod that has much for the table to find: 3 containers with 10 references in their environment, 6 volumes, and 20 selectors
// that pick it. Each update changes a reference and a label that no selector names, so that all rules are read anew and all selectors are compared.
func (b *bench) fullRowSet() error {
	for i := range selectors {
		if err := b.apply(picker(i)); err != nil {
			return err
		}
	}
	raw := [2][]byte{richPod("a"), richPod("b")}
	var pods [2]topo.Resource
	for i := range pods {
		o, err := b.reducer.Reduce(kindOf("v1", "Pod"), raw[i], false)
		if err != nil {
			return err
		}
		pods[i] = o.Resource
	}
	first := pods[0]
	if d := b.engine.Apply(topo.Change{Ref: first.Ref, Resource: &first}); len(d.Edges) < selectors+podLinks {
		return fmt.Errorf("the Pod has %d edges, not %d at least", len(d.Edges), selectors+podLinks)
	}
	samples := make([]float64, rowRounds)
	for i := range samples {
		r := pods[(i+1)%2]
		started := time.Now()
		d := b.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		samples[i] = micros(started)
		if len(d.Nodes) == 0 || len(d.Edges) != 2 {
			return fmt.Errorf("an update of the Pod made %d changes of nodes and %d of edges", len(d.Nodes), len(d.Edges))
		}
	}
	report("rules.full_row_set.pod", samples)
	return b.fromJSON(raw, samples)
}

// fromJSON is the same, from the object as the API server sends it.
func (b *bench) fromJSON(raw [2][]byte, samples []float64) error {
	for i := range samples {
		started := time.Now()
		o, err := b.reducer.Reduce(kindOf("v1", "Pod"), raw[(i+1)%2], false)
		if err != nil {
			return err
		}
		b.engine.Apply(topo.Change{Ref: o.Resource.Ref, Resource: &o.Resource})
		samples[i] = micros(started)
	}
	report("rules.full_row_set.pod.from_json", samples)
	return nil
}

func (b *bench) apply(apiVersion, kind string, object map[string]any) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	o, err := b.reducer.Reduce(kindOf(apiVersion, kind), raw, false)
	if err != nil {
		return err
	}
	b.engine.Apply(topo.Change{Ref: o.Resource.Ref, Resource: &o.Resource})
	return nil
}

func kindOf(apiVersion, kind string) reduce.Kind {
	k := reduce.Kind{GroupKind: topo.GroupKind{Kind: kind}, Version: apiVersion}
	if group, version, ok := strings.Cut(apiVersion, "/"); ok {
		k.Group, k.Version = group, version
	}
	return k
}

type fields = map[string]any

// picker is one of the selectors, of four forms: a Service's labels, expressions, an empty selector, labels and expressions.
func picker(i int) (apiVersion, kind string, object map[string]any) {
	meta := fields{"name": fmt.Sprint("pick-", i), "namespace": "bench"}
	in := []fields{{"key": "app", "operator": "In", "values": []string{"rich", "other"}}, {"key": "gone", "operator": "DoesNotExist"}}
	switch i % 4 {
	case 0:
		return "v1", "Service", fields{"metadata": meta, "spec": fields{"selector": fields{"app": "rich", "tier": "front"}}}
	case 1:
		return "policy/v1", "PodDisruptionBudget", fields{"metadata": meta, "spec": fields{"selector": fields{"matchExpressions": in}}}
	case 2:
		return "networking.k8s.io/v1", "NetworkPolicy", fields{"metadata": meta, "spec": fields{"podSelector": fields{}}}
	}
	return "policy/v1", "PodDisruptionBudget", fields{"metadata": meta, "spec": fields{"selector": fields{"matchLabels": fields{"app": "rich"}, "matchExpressions": in}}}
}

// richPod is the Pod, as an API server gives it.
func richPod(version string) []byte {
	ref := func(kind, name string) fields { return fields{kind: fields{"name": name, "key": "k"}} }
	env := func(i int) []fields {
		return []fields{
			{"name": "A", "value": "plain"}, {"name": "B", "valueFrom": ref("configMapKeyRef", fmt.Sprint("settings-", i))},
			{"name": "C", "valueFrom": ref("secretKeyRef", fmt.Sprint("keys-", i))}, {"name": "D", "valueFrom": ref("configMapKeyRef", fmt.Sprint("more-", i))},
		}
	}
	container := func(i int) fields {
		return fields{
			"name": fmt.Sprint("c", i), "image": "registry.example.com/shop/web:1.2.3", "env": env(i), "resources": fields{"requests": fields{"cpu": "100m", "memory": "64Mi"}},
			"ports": []fields{{"containerPort": 8080}}, "volumeMounts": []fields{{"name": "v0", "mountPath": "/etc/web"}, {"name": "v2", "mountPath": "/data"}},
		}
	}
	containers := []fields{container(0), container(1), container(2)}
	containers[0]["envFrom"] = []fields{{"configMapRef": fields{"name": "all-" + version}}}
	running := func(i int) fields {
		return fields{
			"name": fmt.Sprint("c", i), "ready": true, "restartCount": 0, "state": fields{"running": fields{}},
			"imageID": "registry.example.com/shop/web@sha256:" + strings.Repeat(fmt.Sprint(i), 64),
		}
	}
	status := fields{"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": []fields{running(0), running(1), running(2)}}
	raw, err := json.Marshal(fields{
		"apiVersion": "v1", "kind": "Pod", "status": status,
		"metadata": fields{
			"name": "rich", "namespace": "bench", "uid": "0b2c8a7e-51d7-4c5e-9d3b-6f3f0f4b8f10", "labels": fields{"app": "rich", "tier": "front", "version": version},
			"ownerReferences": []fields{{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rich", "uid": "7d6f4a3b-8a9c-4c1e-8f57-2f0c5be3c9a1", "controller": true}},
		},
		"spec": fields{"nodeName": "node-1", "serviceAccountName": "rich", "containers": containers, "volumes": []fields{
			{"name": "v0", "configMap": fields{"name": "web"}}, {"name": "v1", "secret": fields{"secretName": "tls"}}, {"name": "v2", "persistentVolumeClaim": fields{"claimName": "data"}},
			{"name": "v3", "emptyDir": fields{}}, {"name": "v4", "projected": fields{"sources": []fields{{"configMap": fields{"name": "ca"}}, {"secret": fields{"name": "token"}}}}},
			{"name": "v5", "ephemeral": fields{"volumeClaimTemplate": fields{"spec": fields{"storageClassName": "fast"}}}},
		}},
	})
	if err != nil {
		panic(err) // it is made of what JSON has
	}
	return raw
}
