package kubeproxy

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Limits bound what one user, over all clusters, and one cluster, over all users, may have. Zero fields bound nothing.
type Limits struct {
	UserRate        int // requests begun a second; twice as many at once after a pause
	ClusterRate     int
	UserRequests    int // requests under way that end by themselves
	ClusterRequests int
	UserStreams     int // watches, followed logs and connections
	ClusterStreams  int
}

// DefaultLimits leave room for a thousand watches of one user through one tunnel, and stop one user from taking all of a hub.
func DefaultLimits() Limits {
	return Limits{UserRate: 2000, ClusterRate: 5000, UserRequests: 200, ClusterRequests: 500, UserStreams: 2000, ClusterStreams: 3000}
}

// user is who a limit is for: all tokens of a name share it.
type user struct {
	tenant fleet.TenantID
	name   string
}

// remembered is how many users and clusters are told apart by rates. One who is forgotten starts anew, still within what is under way.
const remembered = 4096

// limits counts. What is under way is counted exactly; the maps hold only those who have something under way.
type limits struct {
	of       Limits
	users    *lru.Cache[user, *rate.Limiter]
	clusters *lru.Cache[fleet.ClusterID, *rate.Limiter]

	mu        sync.Mutex
	byUser    map[user]*underWay
	byCluster map[fleet.ClusterID]*underWay
}

type underWay struct{ requests, streams int }

func (u *underWay) count(lasts bool) *int {
	if lasts {
		return &u.streams
	}
	return &u.requests
}

func newLimits(of Limits) *limits {
	l := &limits{of: of, byUser: map[user]*underWay{}, byCluster: map[fleet.ClusterID]*underWay{}}
	l.users, _ = lru.New[user, *rate.Limiter](remembered) // fails on a size below 1 only
	l.clusters, _ = lru.New[fleet.ClusterID, *rate.Limiter](remembered)
	return l
}

// enter counts a request in, or is TooManyRequests. The user's own limits come first: who is beyond his takes nothing from the others. leave
// must follow where there is no error.
func (l *limits) enter(u user, c fleet.ClusterID, lasts bool) error {
	if wait := take(l.users, u, l.of.UserRate); wait > 0 {
		return tooMany(wait, "%q sends more than %d requests a second", u.name, l.of.UserRate)
	}
	if err := l.begin(u, c, lasts); err != nil {
		return err
	}
	if wait := take(l.clusters, c, l.of.ClusterRate); wait > 0 {
		l.leave(u, c, lasts)
		return tooMany(wait, "cluster %s is sent more than %d requests a second", c, l.of.ClusterRate)
	}
	return nil
}

func tooMany(wait time.Duration, format string, args ...any) error {
	return fault.New(fault.TooManyRequests, format, args...).After(max(wait, time.Second))
}

// take gives the time to wait when a key's rate is used up.
func take[K comparable](keys *lru.Cache[K, *rate.Limiter], key K, perSecond int) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	limiter, known := keys.Get(key)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)
		if before, found, _ := keys.PeekOrAdd(key, limiter); found {
			limiter = before
		}
	}
	if limiter.Allow() {
		return 0
	}
	return time.Second
}

func (l *limits) begin(u user, c fleet.ClusterID, lasts bool) error {
	perUser, perCluster, what := l.of.UserRequests, l.of.ClusterRequests, "requests"
	if lasts {
		perUser, perCluster, what = l.of.UserStreams, l.of.ClusterStreams, "watches and connections"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	mine, its := at(l.byUser, u).count(lasts), at(l.byCluster, c).count(lasts)
	var err error
	switch {
	case perUser > 0 && *mine >= perUser:
		err = tooMany(0, "%q has %d %s under way already", u.name, *mine, what)
	case perCluster > 0 && *its >= perCluster:
		err = tooMany(0, "cluster %s has %d %s under way already", c, *its, what)
	default:
		*mine++
		*its++
		return nil
	}
	l.forget(u, c)
	return err
}

func at[K comparable](m map[K]*underWay, key K) *underWay {
	w := m[key]
	if w == nil {
		w = &underWay{}
		m[key] = w
	}
	return w
}

// leave counts a request out.
func (l *limits) leave(u user, c fleet.ClusterID, lasts bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.byUser[u].count(lasts)--
	*l.byCluster[c].count(lasts)--
	l.forget(u, c)
}

// forget drops who has nothing under way; mu is held.
func (l *limits) forget(u user, c fleet.ClusterID) {
	if *l.byUser[u] == (underWay{}) {
		delete(l.byUser, u)
	}
	if *l.byCluster[c] == (underWay{}) {
		delete(l.byCluster, c)
	}
}
