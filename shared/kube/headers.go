package kube

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// The headers by which the hub tells an agent, on their tunnel, whose request it is. They never come from anybody else.
const (
	UserHeader    = "Kubilitics-User"    // the hub's name of the user, without the agent's prefix
	GroupHeader   = "Kubilitics-Group"   // once for each group
	RequestHeader = "Kubilitics-Request" // the hub's id of the request, as in its audit record
)

// Strip takes out what says who somebody is: only the hub and the agent may say that.
func Strip(h http.Header) {
	for name := range h {
		if personal(name) {
			delete(h, name)
		}
	}
}

// names and prefixes of the headers that say who somebody is, or where a request came from.
var (
	names    = []string{"authorization", "proxy-authorization", "cookie", "forwarded", "x-real-ip"}
	prefixes = []string{"impersonate-", "x-forwarded-", "x-remote-", "kubilitics-"}
)

// personal is about any spelling, since a map of headers may hold what was never canonical, and some readers take an underscore for a dash.
func personal(name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return len(n) == len(name) && begins(name, n) }) ||
		slices.ContainsFunc(prefixes, func(p string) bool { return begins(name, p) })
}

// begins allocates nothing: it is asked for each header of each request, on both ends.
func begins(name, lower string) bool {
	if len(name) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// CheckConnection refuses a request that wants a header of identity treated as one of the connection, by which the next in the chain would drop it.
func CheckConnection(h http.Header) error {
	for _, line := range h.Values("Connection") {
		for token := range strings.SplitSeq(line, ",") {
			if name := textproto.TrimString(token); personal(name) {
				return fault.New(fault.BadRequest, "the Connection header may not name %s", http.CanonicalHeaderKey(name))
			}
		}
	}
	return nil
}
