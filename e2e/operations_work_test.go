package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func (o *operations) scale(t *testing.T) {
	at := "/resources/apps/-/deployments/" + o.ns + "/web/scale"
	var s struct {
		Outcome, DryRun  string
		Before, Replicas int
	}
	o.must(t, 200, http.MethodPost, at+"?dryRun=All", asJSON, `{"replicas":7}`).into(t, &s)
	if s.Before != 2 || s.Replicas != 7 || s.DryRun != "All" {
		t.Errorf("got %+v", s)
	}
	o.says(t, o.must(t, 409, http.MethodPost, at, asJSON, `{"replicas":3,"currentReplicas":7}`), "has 2 replicas, not 7")
	o.must(t, 200, http.MethodPost, at, asJSON, `{"replicas":3,"currentReplicas":2}`)
	o.says(t, o.must(t, 200, http.MethodPost, at, asJSON, `{"replicas":3}`), "unchanged")
	o.must(t, 200, http.MethodPost, at, asJSON, `{"replicas":2}`)
}

func (o *operations) done(t *testing.T, workload string) {
	t.Helper()
	eventually(t, workload+" is rolled out", 30*time.Second, func() error {
		var s struct {
			Done    bool
			Message string
		}
		if o.must(t, 200, http.MethodGet, "/resources/apps/-/"+workload+"/rollout/status", "", "").into(t, &s); !s.Done {
			return fmt.Errorf("%s", s.Message)
		}
		return nil
	})
}

type rolloutHistory struct {
	Items []struct {
		Revision int
		Current  bool
		Images   []string
		Template map[string]any
	}
}

func (o *operations) rollouts(t *testing.T) {
	for _, w := range []string{"deploy/" + o.ns + "/web", "statefulsets/" + o.ns + "/guarded", "ds/" + o.ns + "/daemon"} {
		at := "/resources/apps/-/" + w
		o.done(t, w)
		o.must(t, 200, http.MethodPatch, at, "application/json-patch+json", `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/other:2"}]`)
		o.done(t, w)
		o.says(t, o.must(t, 200, http.MethodPost, at+"/rollout/restart?dryRun=All", "", ""), "restartedAt")
		o.must(t, 200, http.MethodPost, at+"/rollout/restart", "", "")
		o.done(t, w)
		var h rolloutHistory
		eventually(t, "three revisions of "+w, 10*time.Second, func() error {
			if o.must(t, 200, http.MethodGet, at+"/rollout/history", "", "").into(t, &h); len(h.Items) != 3 || !h.Items[0].Current {
				return fmt.Errorf("got %+v", h)
			}
			return nil
		})
		if !slices.Equal(h.Items[1].Images, []string{"registry.example/other:2"}) || h.Items[0].Template != nil {
			t.Errorf("history of %s: %+v", w, h)
		}
		o.must(t, 404, http.MethodPost, at+"/rollout/undo?toRevision=99", "", "")
		o.must(t, 200, http.MethodPost, at+"/rollout/undo?toRevision=1", "", "")
		o.done(t, w)
		eventually(t, w+" is what it was first", 10*time.Second, func() error {
			o.must(t, 200, http.MethodGet, at+"/rollout/history", "", "").into(t, &h)
			if h.Items[0].Revision != 4 || !h.Items[0].Current || strings.HasSuffix(h.Items[0].Images[0], "other:2") {
				return fmt.Errorf("got %+v", h)
			}
			return nil
		})
		o.says(t, o.must(t, 200, http.MethodPost, at+"/rollout/undo?toRevision=4", "", ""), "unchanged")
		o.says(t, o.must(t, 200, http.MethodGet, at+"/rollout/history?revision=4", "", ""), "template", "tolerations")
	}
	web := "/resources/apps/-/deploy/" + o.ns + "/web"
	o.says(t, o.must(t, 200, http.MethodPost, web+"/rollout/pause", "", ""), "configured")
	o.says(t, o.must(t, 200, http.MethodPost, web+"/rollout/pause", "", ""), "unchanged")
	o.says(t, o.must(t, 409, http.MethodPost, web+"/rollout/restart", "", ""), "resume it first")
	o.must(t, 200, http.MethodPost, web+"/rollout/resume", "", "")
}

func (o *operations) trigger(t *testing.T) {
	var w written
	o.must(t, 201, http.MethodPost, "/resources/-/-/cj/"+o.ns+"/nightly/trigger", "", "").into(t, &w)
	if !strings.HasPrefix(w.Object.Name, "nightly-manual-") || w.Object.Labels["app"] != "nightly" || w.Object.Annotations["note"] != "kept" || len(w.Object.OwnerReferences) != 1 {
		t.Errorf("got %+v", w.Object)
	}
	o.must(t, 400, http.MethodPost, "/resources/-/-/deploy/"+o.ns+"/web/trigger", "", "")
}

func (o *operations) impact(t *testing.T) {
	ask := func(method, path, kind, body string) touched {
		t.Helper()
		var w written
		if o.must(t, 200, method, path, kind, body).into(t, &w); w.DryRun != "impact" || w.Impact == nil || len(w.Impact.Objects) == 0 {
			t.Fatalf("got %+v", w)
		}
		return *w.Impact
	}
	settings := "/resources/-/-/cm/" + o.ns + "/settings?dryRun=impact"
	eventually(t, "the topology knows what uses the settings", 20*time.Second, func() error {
		i := ask(http.MethodDelete, settings, "", "")
		one := i.Objects[0]
		if one.Loss == nil || !slices.ContainsFunc(one.Loss.Affected, func(a struct{ Kind, Name, Severity string }) bool { return a.Kind == "Deployment" && a.Name == "web" }) {
			return fmt.Errorf("got %+v", one)
		}
		return nil
	})
	if one := ask(http.MethodPatch, settings, "application/merge-patch+json", "{}").Objects[0]; one.Presence != "present" || len(one.Ties) < 2 {
		t.Errorf("what uses the settings: %+v", one)
	}
	zero := ask(http.MethodPost, "/resources/apps/-/deploy/"+o.ns+"/web/scale?dryRun=impact", asJSON, `{"replicas":0}`).Objects[0]
	service := func(a struct{ Kind, Name, Severity string }) bool {
		return a.Kind == "Service" && a.Severity == "breaks"
	}
	if !slices.ContainsFunc(zero.Loss.Affected, service) || slices.ContainsFunc(zero.Loss.Affected, func(a struct{ Kind, Name, Severity string }) bool { return a.Kind == "ReplicaSet" }) {
		t.Errorf("scaled to nothing: %+v", zero)
	}
	drained := ask(http.MethodPost, "/nodes/"+o.node+"/drain?dryRun=impact", asJSON, `{"ignoreDaemonSets":true}`).Objects[0]
	actions := map[string]string{}
	for _, p := range drained.Pods {
		actions[strings.SplitN(p.Name, "-", 2)[0]] = p.Action
		if p.Name == "guarded-0" && (len(p.Hits) == 0 || p.Hits[0].Kind != "budget" && p.Hits[len(p.Hits)-1].Kind != "budget") {
			t.Errorf("the budget isn't told of: %+v", p)
		}
	}
	if actions["web"] != "evict" || actions["guarded"] != "evict" || actions["daemon"] != "skip" || actions["bare"] != "refuse" {
		t.Errorf("got %v: %+v", actions, drained)
	}
	var a applied
	o.must(t, 200, http.MethodPost, "/apply?dryRun=impact", asYAML, o.fill(operationsWorld)).into(t, &a)
	if a.Impact == nil || len(a.Impact.Objects) != 9 || a.Impact.Objects[1].Presence != "present" {
		t.Errorf("got %+v", a)
	}
	created := ask(http.MethodPost, "/resources/-/-/cm?dryRun=impact", asJSON, o.fill(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new","namespace":"NS"}}`))
	if created.Objects[0].Presence != "absent" || created.Objects[0].Action != "create" {
		t.Errorf("got %+v", created)
	}
	ask(http.MethodPost, "/resources/-/-/cj/"+o.ns+"/nightly/trigger?dryRun=impact", "", "")
	ask(http.MethodPost, "/nodes/"+o.node+"/cordon?dryRun=impact", "", "")
	ask(http.MethodPost, "/resources/apps/-/deploy/"+o.ns+"/web/rollout/restart?dryRun=impact", "", "")
}

// drainStep is one of a drain's.
type drainStep struct {
	Step, Pod, Owner, Reason string
	Drained                  *bool
	Evicted, Failed, Skipped int
}

// drainStream starts a drain and hands its steps to a function until that says it has enough.
func (o *operations) drainStream(t *testing.T, ctx context.Context, body string, each func(drainStep) (enough bool)) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.hub.URL+"/api/v1/clusters/"+o.member.id+"/nodes/"+o.node+"/drain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.hub.Token)
	req.Header.Set("Content-Type", asJSON)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var s drainStep
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v in %q", err, lines.Bytes())
		}
		if each(s) {
			return
		}
	}
}

func (o *operations) drain(t *testing.T) {
	const options = `{"ignoreDaemonSets":true,"deleteEmptyDirData":true,"force":true}`
	refused := o.must(t, 409, http.MethodPost, "/nodes/"+o.node+"/drain", asJSON, `{}`)
	o.says(t, refused, "nothing was done", "DaemonSet", "emptyDir", o.ns+"/bare")
	var n written
	if o.must(t, 200, http.MethodGet, "/live/-/v1/no/-/"+o.node, "", "").into(t, &n.Object); n.Object.Spec["unschedulable"] != nil {
		t.Error("a drain that is refused cordoned the node")
	}
	o.says(t, o.must(t, 200, http.MethodPost, "/nodes/"+o.node+"/cordon", "", ""), "configured")
	o.says(t, o.must(t, 200, http.MethodPost, "/nodes/"+o.node+"/cordon", "", ""), "unchanged")
	o.says(t, o.must(t, 200, http.MethodPost, "/nodes/"+o.node+"/uncordon", "", ""), "configured")
	o.says(t, o.must(t, 200, http.MethodPost, "/nodes/"+o.node+"/drain?dryRun=All", asJSON, options, "Accept", "text/event-stream"), "event: evicted\ndata: {", "event: done")

	// One whose client leaves stops; the budget keeps the Pod all the while.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.drainStream(t, ctx, `{"ignoreDaemonSets":true,"podSelector":"app=guarded"}`, func(s drainStep) bool {
		if s.Step == "blocked" && (s.Pod != "guarded-0" || s.Owner != "StatefulSet/guarded" || !strings.Contains(s.Reason, "disruption budget")) {
			t.Errorf("got %+v", s)
		}
		return s.Step == "blocked"
	})
	cancel()
	says(t, o.log, 10*time.Second, "a drain ended with its client")

	// One that is blocked goes on as soon as the budget allows.
	seen := map[string]int{}
	var last drainStep
	o.drainStream(t, t.Context(), options, func(s drainStep) bool {
		seen[s.Step]++
		if last = s; s.Step == "blocked" {
			o.must(t, 200, http.MethodDelete, "/resources/policy/-/pdb/"+o.ns+"/guarded", "", "")
		}
		return false
	})
	if last.Step != "done" || last.Drained == nil || !*last.Drained || last.Evicted != 4 || last.Skipped == 0 || seen["cordoned"] != 1 || seen["blocked"] == 0 {
		t.Errorf("got %+v after %v", last, seen)
	}
	o.must(t, 200, http.MethodPost, "/nodes/"+o.node+"/uncordon", "", "")
}
