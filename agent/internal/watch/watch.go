package watch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Config says what to watch and how. RESTConfig and Decoder are required.
type Config struct {
	RESTConfig *rest.Config
	Decoder    Decoder
	Log        *zap.Logger // nobody is told if nil

	Manifests         bool             // whether changes carry the objects' text
	Exclude           []topo.GroupKind // kinds that are not watched
	Namespaces        []string         // where namespaced kinds are watched; everywhere if empty
	ExcludeNamespaces []string         // whose objects and events are passed over

	ManifestBytes int           // how many compressed bytes may wait for Next; 4 MiB if 0
	Retry         time.Duration // between tries of a kind that is refused, give or take a half; 5 minutes if 0
	Rediscover    time.Duration // between looks for new kinds when nothing says that there are any; 10 minutes if 0

	Registerer prometheus.Registerer // of its metrics; nobody sees them if nil
}

// Kind is one kind of object as the API serves it.
type Kind struct {
	topo.GroupKind
	Version    string // the preferred one of those served, "v1"
	Plural     string // as in the path, "deployments"
	Namespaced bool
}

// Object is what a Decoder makes of one object.
type Object struct {
	Resource        *topo.Resource
	Text            []byte // canonical JSON of what may be shared of the object; nil unless there was a buffer for it
	ResourceVersion string
}

// Decoder reduces the JSON of one object of a kind, and gives its text, if text isn't nil, in this buffer or in one that it
// has grown to. It is called by many at once and keeps nothing of either. An error means that this object can't be understood, not that the stream is broken.
type Decoder interface {
	Decode(kind Kind, raw, text []byte) (Object, error)
}

// KindStatus is how the watch of one kind stands.
type KindStatus struct {
	Kind
	Observed bool   // its objects are all known and watched; false also before the first list is complete
	Gone     bool   // the API serves it no more: all its objects are gone
	Reason   string // why it isn't observed, or what troubles it though it is; empty if all is well
}

// Change is one news of an object, with its manifest if these are asked for.
type Change struct {
	topo.Change
	Hash topo.ID // of the manifest's text; zero if the object is gone or manifests are off
	Body []byte  // the text compressed; nil with a Hash means that there was no room: Read gets it
}

// Problem is an object that was passed over, and why. A kind stands for its objects where the name isn't known.
type Problem struct {
	Ref    topo.Ref
	Reason string
}

// Reach tells whether the API server answers.
type Reach struct {
	Down   bool
	Since  time.Time // of the last change between the two
	Reason string    // with Down: what the last try met
}

// Batch is some news. Kinds are to be applied before Changes: a kind is made known before its objects, and is called
// observed only after all objects of its first list were handed out.
type Batch struct {
	Kinds      []KindStatus
	Changes    []Change
	Since      time.Time // when the oldest of Changes began to wait; zero without any
	Events     []topo.Event
	EventsLost int // events that no room was left for since the batch before
	Problems   []Problem
	Reach      *Reach // nil if nothing changed
	Synced     bool   // every kind known at the start was handed out once, as far as the API allows; never false again
}
