package agent

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/agent/internal/watch"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// An embedded agent words the cluster's identity as it is told, does without the UID where that may not be read, and tells what came of asking.
func TestIdentified(t *testing.T) {
	var told []Contact
	a, err := Embed(DefaultConfig(), Embedding{
		REST: &rest.Config{Host: "https://127.0.0.1:1"}, Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("none") },
		Identity: func(uid string) string { return uid + "@here" }, Contact: func(c Contact) { told = append(told, c) },
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	forbidden := fault.New(fault.Forbidden, "kube-system")
	down := fault.New(fault.Unavailable, "down")
	for _, c := range []struct {
		info watch.ClusterInfo
		err  error
		want string
		fail bool
	}{
		{watch.ClusterInfo{Version: "v1", UID: "u"}, nil, "u@here", false},
		{watch.ClusterInfo{Version: "v1"}, forbidden, "@here", false},
		{watch.ClusterInfo{}, forbidden, "", true}, // not even the version
		{watch.ClusterInfo{}, down, "", true},
	} {
		told = nil
		got, err := a.identified(c.info, c.err)
		if got.UID != c.want || (err != nil) != c.fail || len(told) != 1 || (told[0].Err != nil) != c.fail || told[0].KubeUID != c.info.UID {
			t.Errorf("%+v, %v: %+v, %v; told %+v", c.info, c.err, got, err, told)
		}
	}
	told = nil
	a.reached(watch.Reach{Down: true, Reason: "gone"})
	a.reached(watch.Reach{})
	if len(told) != 2 || told[0].Err == nil || told[1].Err != nil {
		t.Errorf("%+v", told)
	}
	alone := &Agent{}
	if _, err := alone.identified(watch.ClusterInfo{Version: "v1"}, forbidden); err == nil {
		t.Error("an agent that is a program of its own does without the UID")
	}
	alone.reached(watch.Reach{Down: true}) // nobody to tell
	keep, err := a.keep()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Load(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("an agent that has just begun keeps something: %v", err)
	}
	if err := keep.Save(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if text, err := keep.Load(t.Context()); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}
