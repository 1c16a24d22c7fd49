package reduce_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/reduce"
)

// livePod is a Pod as an API server gives it: three containers, six volumes, Helm's annotations, five conditions, managed fields.
func livePod() []byte {
	var containers, statuses, volumes []string
	for i := range 3 {
		containers = append(containers, fmt.Sprintf(`{"name":"c%[1]d","image":"registry.example.com/shop/c%[1]d:1.4.2","ports":[{"containerPort":8080,"protocol":"TCP"}],`+
			`"env":[{"name":"A","value":"b"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s%[1]d","key":"k"}}}],"resources":{"limits":{"cpu":"1","memory":"1Gi"}},`+
			`"volumeMounts":[{"name":"v0","mountPath":"/v0"}],"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}`, i))
		statuses = append(statuses, fmt.Sprintf(`{"name":"c%[1]d","state":{"running":{"startedAt":"2026-03-01T10:00:00Z"}},"lastState":{},"ready":true,"restartCount":0,`+
			`"image":"registry.example.com/shop/c%[1]d:1.4.2","imageID":"registry.example.com/shop/c%[1]d@sha256:0","containerID":"containerd://%[1]d","started":true}`, i))
	}
	for i := range 6 {
		volumes = append(volumes, fmt.Sprintf(`{"name":"v%[1]d","configMap":{"name":"cm%[1]d","defaultMode":420}}`, i))
	}
	var conditions, managed []string
	for _, c := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:00Z"}`, c))
		managed = append(managed, fmt.Sprintf(`{"manager":%q,"operation":"Update","apiVersion":"v1","time":"2026-03-01T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}}`, c))
	}
	return []byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-5d8f9c7b6d-x2x7q","generateName":"web-5d8f9c7b6d-","namespace":"shop","uid":"0b0d9c4e-7c0d-4f3e-9a57-1d3f5b7c9e11",` +
		`"resourceVersion":"123456","creationTimestamp":"2026-03-01T10:00:00Z","labels":{"app.kubernetes.io/instance":"shop","app.kubernetes.io/managed-by":"Helm","app.kubernetes.io/name":"web",` +
		`"pod-template-hash":"5d8f9c7b6d"},"annotations":{"checksum/config":"abc","prometheus.io/scrape":"true"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d8f9c7b6d",` +
		`"uid":"9b0d9c4e-7c0d-4f3e-9a57-1d3f5b7c9e11","controller":true,"blockOwnerDeletion":true}],"managedFields":[` + strings.Join(managed, ",") + `]},` +
		`"spec":{"volumes":[` + strings.Join(volumes, ",") + `],"containers":[` + strings.Join(containers, ",") + `],"restartPolicy":"Always","nodeName":"node-1","serviceAccountName":"web",` +
		`"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},` +
		`"status":{"phase":"Running","conditions":[` + strings.Join(conditions, ",") + `],"hostIP":"192.168.0.1","podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}],"startTime":"2026-03-01T10:00:00Z",` +
		`"containerStatuses":[` + strings.Join(statuses, ",") + `],"qosClass":"Burstable"}}`)
}

func BenchmarkReduce(b *testing.B) {
	deployment := []byte(`{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","namespace":"shop","generation":2,"labels":{"app":"web"},"annotations":{"meta.helm.sh/release-name":"shop","meta.helm.sh/release-namespace":"shop"}},` +
		`"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"c","image":"web:1"}]}}},"status":{"observedGeneration":2,"replicas":3,"updatedReplicas":3,"readyReplicas":3,"availableReplicas":3,` +
		`"conditions":[{"type":"Available","status":"True","reason":"MinimumReplicasAvailable"},{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"}]}}`)
	for _, c := range []struct {
		name string
		kind reduce.Kind
		raw  []byte
	}{
		{"pod", kindOf("v1", "Pod"), livePod()},
		{"deployment", kindOf("apps/v1", "Deployment"), deployment},
		{"configmap", kindOf("v1", "ConfigMap"), []byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"b","labels":{"app":"x"}},"data":{"a":"b"}}`)},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := reducer(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(c.raw)))
			for b.Loop() {
				if _, err := r.Reduce(c.kind, c.raw, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
