module github.com/kubilitics/kubilitics/e2e

go 1.26.0

require (
	github.com/kubilitics/kubilitics/agent v0.0.0
	github.com/kubilitics/kubilitics/hub v0.0.0
	github.com/kubilitics/kubilitics/migrations v0.0.0
	github.com/kubilitics/kubilitics/proto v0.0.0
	github.com/kubilitics/kubilitics/shared v0.0.0
)

require (
	go.uber.org/goleak v1.3.0 // indirect
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	golang.org/x/sys v0.49.0 // indirect
	k8s.io/api v0.37.2 // indirect
	k8s.io/apimachinery v0.37.2 // indirect
	k8s.io/client-go v0.37.2 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)

replace (
	github.com/kubilitics/kubilitics/agent => ../agent
	github.com/kubilitics/kubilitics/hub => ../hub
	github.com/kubilitics/kubilitics/migrations => ../migrations
	github.com/kubilitics/kubilitics/proto => ../proto
	github.com/kubilitics/kubilitics/shared => ../shared
)
