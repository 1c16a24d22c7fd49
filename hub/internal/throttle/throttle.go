// Package throttle bounds how often strangers may make the hub work: a token bucket for each of them, of a bounded number,
// and one for all together.
package throttle

import (
	"net"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Rate is so many a second, and so many at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Throttle is safe for concurrent use.
type Throttle struct {
	each  Rate
	total *rate.Limiter
	keys  *lru.Cache[string, *rate.Limiter]
}

// remembered is how many strangers are told apart. One who is forgotten starts anew, still within what all may do.
const remembered = 4096

// New makes a throttle that lets each key and all keys together do so much.
func New(each, total Rate) *Throttle {
	keys, _ := lru.New[string, *rate.Limiter](remembered) // fails on a size below 1 only
	return &Throttle{each: each, total: rate.NewLimiter(rate.Limit(total.PerSecond), total.Burst), keys: keys}
}

// Take permits one more by key, or is TooManyRequests with the time to come back. The key's own bucket is asked first: who has
// emptied his takes nothing from the others'.
func (t *Throttle) Take(key string) error {
	key = network(key)
	own := rate.NewLimiter(rate.Limit(t.each.PerSecond), t.each.Burst)
	if known, found, _ := t.keys.PeekOrAdd(key, own); found {
		own = known
		t.keys.Get(key)
	}
	if wait, ok := take(own); !ok {
		return refuse(wait)
	}
	if wait, ok := take(t.total); !ok {
		return refuse(wait)
	}
	return nil
}

func take(l *rate.Limiter) (time.Duration, bool) {
	r := l.Reserve()
	wait := r.Delay()
	if r.OK() && wait == 0 {
		return 0, true
	}
	r.Cancel()
	return wait, false
}

func refuse(wait time.Duration) error {
	return fault.New(fault.TooManyRequests, "too many requests that weren't authenticated came from this address").After(max(wait, time.Second))
}

// network is what of an address tells strangers apart: of IPv6 the first half, since whoever has one such network has 2^64 addresses.
func network(key string) string {
	ip, err := netip.ParseAddr(key)
	if err != nil || ip.Unmap().Is4() {
		return key
	}
	half, err := ip.WithZone("").Prefix(64)
	if err != nil { // can't be: each address of the family has that many bits
		return key
	}
	return half.String()
}

// Host is the address without its port: the key for a caller known by nothing else. Addresses come from the connection, or from a proxy that is trusted.
func Host(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
