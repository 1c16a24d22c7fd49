package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Events are served by two groups from the same storage. The older one is read: every cluster has it.
var eventKind = topo.GroupKind{Kind: "Event"}

// listPage is how many objects a request of ours asks for at once, where it isn't the reflector's.
const listPage = 500

// eventObject is the part of an Event that is kept.
type eventObject struct {
	Metadata       metav1.ObjectMeta `json:"metadata"`
	InvolvedObject struct {
		APIVersion, Kind, Namespace, Name string
	} `json:"involvedObject"`
	Type                string      `json:"type"`
	Reason              string      `json:"reason"`
	Message             string      `json:"message"`
	Count               int64       `json:"count"`
	FirstTimestamp      metav1.Time `json:"firstTimestamp"`
	LastTimestamp       metav1.Time `json:"lastTimestamp"`
	EventTime           metav1.Time `json:"eventTime"`
	ReportingController string      `json:"reportingComponent"`
	Source              struct{ Component string }
	Series              *struct {
		Count            int64
		LastObservedTime metav1.Time
	} `json:"series"`
}

// event takes in an Event.
func (l *lane) event(raw []byte) (string, error) {
	var o eventObject
	if err := json.Unmarshal(raw, &o); err != nil {
		return l.skip(raw, fmt.Errorf("an Event that can't be read: %w", err))
	}
	if !l.src.passesOver(o.Metadata.Namespace) {
		l.src.queue.event(o.reduce())
	}
	return o.Metadata.ResourceVersion, nil
}

// reduce follows both ways in which a repeated Event says so: the older count and times, and the newer series.
func (o *eventObject) reduce() topo.Event {
	e := topo.Event{
		UID: string(o.Metadata.UID), Namespace: o.Metadata.Namespace, Name: clean(o.Metadata.Name),
		Regarding: topo.Ref{
			Group: groupOf(o.InvolvedObject.APIVersion), Kind: clean(o.InvolvedObject.Kind),
			Namespace: clean(o.InvolvedObject.Namespace), Name: clean(o.InvolvedObject.Name),
		},
		Type: clean(o.Type), Reason: clean(o.Reason), Message: clean(o.Message),
		Source: clean(cmp.Or(o.Source.Component, o.ReportingController)),
		Count:  max(o.Count, 1),
		First:  unixOf(o.FirstTimestamp, o.EventTime, o.Metadata.CreationTimestamp),
		Last:   unixOf(o.LastTimestamp, o.EventTime, o.FirstTimestamp, o.Metadata.CreationTimestamp),
	}
	if o.Series != nil {
		e.Count = max(e.Count, o.Series.Count)
		e.Last = max(e.Last, unixOf(o.Series.LastObservedTime))
	}
	return e
}

// clean takes out what no store can hold; json has replaced what is no UTF-8.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "\uFFFD") }

func groupOf(apiVersion string) string {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		return ""
	}
	return clean(group)
}

// unixOf is the first of these times that is one.
func unixOf(times ...metav1.Time) int64 {
	for _, t := range times {
		if !t.IsZero() {
			return t.Unix()
		}
	}
	return 0
}

// EventsSince reads the Events again that last happened at or after an instant, by the cluster's clock: for one who
// learned from EventsLost that some are missing. It stops at the first error, give's included.
func (s *Source) EventsSince(ctx context.Context, since time.Time, give func(topo.Event) error) error {
	kind := Kind{GroupKind: eventKind, Version: "v1", Plural: "events", Namespaced: true}
	for _, namespace := range s.namespaces(kind) {
		err := s.pages(ctx, kind, namespace, func(raw []byte) error {
			var o eventObject
			if json.Unmarshal(raw, &o) != nil || s.passesOver(o.Metadata.Namespace) {
				return nil // the watch has told of it
			}
			if e := o.reduce(); e.Last >= since.Unix() {
				return give(e)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pages lists a kind in pages and hands out the items' JSON, each good until the next.
func (s *Source) pages(ctx context.Context, kind Kind, namespace string, item func(raw []byte) error) error {
	opts := metav1.ListOptions{Limit: listPage}
	for {
		next, err := s.page(ctx, kind, namespace, opts, item)
		if err != nil || next == "" {
			return err
		}
		opts.Continue = next
	}
}

func (s *Source) page(ctx context.Context, kind Kind, namespace string, opts metav1.ListOptions, item func(raw []byte) error) (string, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the request when item fails amid the page
	defer cancel()
	body, err := s.client.open(ctx, withOptions(s.client.of(kind, namespace), opts))
	if err != nil {
		return "", asFault(err, "the API server doesn't list %s", kind.Plural)
	}
	defer body.Close()
	var failed error
	front := headerOf(kind)
	meta, err := readList(body, func(raw []byte) {
		if failed == nil {
			if failed = item(front.typed(raw)); failed != nil {
				cancel()
			}
		}
	})
	switch {
	case failed != nil:
		return "", failed
	case err != nil:
		return "", asFault(err, "the list of %s broke off", kind.Plural)
	}
	return meta.Continue, nil
}
