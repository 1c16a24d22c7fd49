module github.com/kubilitics/kubilitics/charts

go 1.26.0
