package gateway

import (
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// SessionInfo is what a live tunnel is.
type SessionInfo struct {
	Scope     store.Scope
	Instance  string // of the agent's process; "" before it has said so
	Epoch     int64  // 0 while no sync session is open on it
	Writes    bool   // it is the one that writes its cluster's rows
	Address   string // of the connection
	LastHeard time.Time
	Streams   int // open
}

// Sessions are the live tunnels to this hub, by cluster.
func (g *Gateway) Sessions() []SessionInfo {
	g.mu.Lock()
	links := make([]link, 0, len(g.links))
	writes := make([]bool, 0, len(g.links))
	for _, l := range g.links {
		links, writes = append(links, *l), append(writes, g.holder[l.scope] == l)
	}
	g.mu.Unlock()
	out := make([]SessionInfo, 0, len(links))
	for i, l := range links {
		one := SessionInfo{Scope: l.scope, Instance: l.instance, Epoch: l.epoch, Writes: writes[i], LastHeard: l.session.LastHeard(), Streams: l.session.Streams()}
		if addr := l.session.Peer().Addr; addr != nil {
			one.Address = addr.String()
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return int(a.Scope.Cluster) - int(b.Scope.Cluster) })
	return out
}
