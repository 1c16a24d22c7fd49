module github.com/kubilitics/kubilitics/migrations

go 1.26.0
