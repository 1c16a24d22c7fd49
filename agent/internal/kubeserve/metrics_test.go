package kubeserve

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// Verbs are the client's to choose where a service is asked through the API: those that aren't Kubernetes' own are one.
func TestAnswersAreCountedByWhatIsKnown(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	before := children(t, reg)
	for _, c := range []struct {
		q      kube.Request
		status int
	}{
		{kube.Request{Verb: "list"}, 200}, {kube.Request{Verb: "PROPFIND"}, 404}, {kube.Request{Verb: "FROB"}, 999}, {kube.Request{Verb: "get"}, 0},
	} {
		ended := m.began(c.q)
		m.answered(c.q, c.status, time.Now())
		ended()
	}
	m.refused(fault.New(fault.Forbidden, "no"))
	after := children(t, reg)
	if before != after {
		t.Errorf("of %d series came %d", before, after)
	}
	for at, n := range map[[2]string]uint64{{"list", "2xx"}: 1, {"other", "4xx"}: 1, {"other", "none"}: 1, {"get", "none"}: 1, {"get", "2xx"}: 0} {
		d := &dto.Metric{}
		if err := m.answers[at[0]][classOf(at[1])].(prometheus.Histogram).Write(d); err != nil || d.GetHistogram().GetSampleCount() != n {
			t.Errorf("%v: %d, %v", at, d.GetHistogram().GetSampleCount(), err)
		}
	}
}

func classOf(name string) int {
	for i, c := range classes {
		if c == name {
			return i
		}
	}
	return -1
}

func children(t *testing.T, reg *prometheus.Registry) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}
