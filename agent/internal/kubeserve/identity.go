package kubeserve

import (
	"net/http"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// permit refuses what the cluster's owner doesn't let the hub's users do.
func (a Access) permit(q kube.Request) error {
	switch a {
	case Operate, Impersonate:
		return nil
	case Read:
		if q.Reads() && !q.Secret() || q.AsksOfSelf() {
			return nil
		}
		return fault.New(fault.Forbidden, "the owner of this cluster lets the hub only read, and no Secrets: "+
			"the agent's key \"access\" is \"read\"; \"operate\" or \"impersonate\" would let this pass")
	default:
		return fault.New(fault.Forbidden, "the owner of this cluster lets nobody in through the hub: "+
			"the agent's key \"access\" is %q; \"read\", \"operate\" or \"impersonate\" would let requests pass", a)
	}
}

// identity is whose request it is, by the hub's word.
type identity struct {
	users, groups []string
	request       string
}

// isRequestID tells the shape of the hub's ids of requests; an API server takes up to 64 characters as its own.
func isRequestID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("._:/+=-", c)
	})
}

// vouched reads what the hub says. Nobody else has a way to the door: it serves only streams that the hub opens.
func vouched(h http.Header) identity {
	return identity{users: h.Values(kube.UserHeader), groups: h.Values(kube.GroupHeader), request: h.Get(kube.RequestHeader)}
}

// check refuses a request of nobody, and one that would make somebody what only the cluster itself may say who is.
func (i identity) check(a Access, prefix string) error {
	if len(i.users) != 1 || strings.TrimSpace(i.users[0]) == "" {
		return fault.New(fault.Internal, "the hub didn't say whose request this is")
	}
	if a != Impersonate {
		return nil
	}
	for _, name := range append(i.users[:1:1], i.groups...) {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(prefix+name)), "system:") {
			return fault.New(fault.Forbidden, "users and groups of the cluster itself, whose names begin with \"system:\", can't be impersonated")
		}
	}
	return nil
}

// write puts the identity into a request to the API server.
func (i identity) write(h http.Header, a Access, prefix string) {
	delete(h, "Audit-Id")
	if isRequestID(i.request) {
		h["Audit-Id"] = []string{i.request} // so that the cluster's record and the hub's meet
	}
	if a != Impersonate {
		return
	}
	h["Impersonate-User"] = []string{prefix + i.users[0]}
	for _, g := range i.groups {
		if strings.TrimSpace(g) != "" {
			h["Impersonate-Group"] = append(h["Impersonate-Group"], prefix+g)
		}
	}
}
