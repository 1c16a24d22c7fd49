package desktop

import (
	"context"
	"testing"

	"github.com/kubilitics/kubilitics/agent"
)

func contactOf(uid string) agent.Contact { return agent.Contact{KubeUID: uid} }

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}
