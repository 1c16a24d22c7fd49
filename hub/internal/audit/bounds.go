package audit

import (
	"strings"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// What is kept of a record's texts, in bytes.
const (
	nameLimit    = 1024 // names and words
	pathLimit    = 2048
	reasonLimit  = 1024
	groupLimit   = 64 // groups
	commandLimit = 64 // elements of a command
	commandBytes = 4096
)

const ellipsis = "…"

// clip makes a text fit for every database, and no longer than limit but for the ellipsis that tells that there was more.
func clip(s string, limit int) string {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	}
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.Clone(s[:limit]) + ellipsis // without the rest in memory
}

func bound(r *store.AuditRecord) {
	for _, s := range []*string{
		&r.Request, &r.Who, &r.Token, &r.From, &r.Agent, &r.Via, &r.Verb, &r.Group, &r.Version, &r.Resource, &r.Namespace, &r.Name,
	} {
		*s = clip(*s, nameLimit)
	}
	r.Path = clip(r.Path, pathLimit)
	r.Groups = clipList(r.Groups, groupLimit, groupLimit*nameLimit)
	r.Command = clipList(r.Command, commandLimit, commandBytes)
}

// clipList keeps the beginning of a list; what follows is one element that says so.
func clipList(list []string, most, size int) []string {
	var out []string
	for i, s := range list {
		if i == most || size <= 0 {
			return append(out, ellipsis)
		}
		s = clip(s, size)
		size -= len(s)
		out = append(out, s)
	}
	return out
}
