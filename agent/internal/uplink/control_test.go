package uplink

import (
	"testing"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
)

// The hub's wish for a comparison waits until the loop has time for it; several are one.
func TestResyncWaitsForTheLoop(t *testing.T) {
	l := NewLink(Config{})
	c := &control{link: l}
	for range 2 {
		if _, err := c.Resync(t.Context(), &tunnelv1.ResyncRequest{Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-l.compare:
	default:
		t.Fatal("the loop would not have heard of it")
	}
	select {
	case <-l.compare:
		t.Error("two wishes were two comparisons")
	default:
	}
}
