module github.com/kubilitics/kubilitics/hub

go 1.26.0

require (
	github.com/kubilitics/kubilitics/migrations v0.0.0
	github.com/kubilitics/kubilitics/proto v0.0.0
	github.com/kubilitics/kubilitics/shared v0.0.0
)

replace (
	github.com/kubilitics/kubilitics/migrations => ../migrations
	github.com/kubilitics/kubilitics/proto => ../proto
	github.com/kubilitics/kubilitics/shared => ../shared
)
