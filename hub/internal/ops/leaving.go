package ops

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lookPatience is how many times in a row a look may fail before the drain gives up to know who is gone.
const lookPatience = 10

// metadataOnly asks for lists without what isn't looked at.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

// leaves waits until a Pod isn't there any more.
func (d *Drain) leaves(ctx context.Context, p *PodPlan) error {
	gone := make(chan error, 1)
	d.mu.Lock()
	d.leaving[types.UID(p.UID)] = gone
	d.mu.Unlock()
	select {
	case err := <-gone:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look sees now and then who is still on the node: one small list, however many are waited for.
func (d *Drain) look(ctx context.Context) error {
	failed := 0
	for {
		if err := wait(ctx, drainPoll); err != nil {
			return err
		}
		awaited := d.awaited()
		if len(awaited) == 0 {
			continue
		}
		here, err := d.here(ctx)
		if err == nil {
			failed = 0
		} else if failed++; failed < lookPatience {
			continue
		}
		for uid := range awaited {
			if err != nil || !here[uid] {
				d.release(uid, err)
			}
		}
	}
}

// awaited are those that were on their way before the look.
func (d *Drain) awaited() map[types.UID]chan error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.leaving)
}

func (d *Drain) release(uid types.UID, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving[uid] <- err // there is room for one, and only one is told
	delete(d.leaving, uid)
}

func (d *Drain) here(ctx context.Context) (map[types.UID]bool, error) {
	q := url.Values{"fieldSelector": {"spec.nodeName=" + d.node.name}}
	got, err := d.do(ctx, call{method: http.MethodGet, kind: d.pods, query: q, accept: metadataOnly})
	if err != nil {
		return nil, err
	}
	list, err := read[metav1.PartialObjectMetadataList](got.body)
	if err != nil {
		return nil, err
	}
	here := map[types.UID]bool{}
	for i := range list.Items {
		here[list.Items[i].UID] = true
	}
	return here, nil
}
