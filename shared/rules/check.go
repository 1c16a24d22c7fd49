package rules

import (
	"regexp"
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

var (
	ruleName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	kindName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*(\.[a-z0-9.-]+)?$`)
)

// check says what is wrong with a row, apart from its paths.
func check(row *Row) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadRequest, "rule %q: "+format, append([]any{row.Name}, args...)...)
	}
	switch forms := count(row.Ref != nil, row.Select != nil, row.Func != ""); {
	case !ruleName.MatchString(row.Name):
		return bad("a name says both ends in small letters, like pod-configmap-volume")
	case !slices.Contains(topo.EdgeTypes, row.Type):
		return bad("the type %q is none of %v", row.Type, topo.EdgeTypes)
	case len(row.From) == 0:
		return bad("it names no kind in \"from\"")
	case forms != 1:
		return bad("it needs exactly one of \"ref\", \"select\" and \"func\", and has %d", forms)
	case row.Func != "" && linkers[row.Func] == nil:
		return bad("there is no function %q", row.Func)
	case row.Reverse && row.Select != nil:
		return bad("the edges of a selector can't be reversed")
	case row.Template && !slices.Equal(row.From, []string{"Pod"}):
		return bad("only what is written for Pods holds in templates")
	}
	for _, k := range row.From {
		if k != "*" && !kindName.MatchString(k) {
			return bad("%q is no kind: write Pod, Deployment.apps or *", k)
		}
	}
	if row.Ref != nil {
		return checkRef(row.Ref, bad)
	}
	if row.Select != nil {
		return checkSelect(row.Select, bad)
	}
	return nil
}

func checkRef(ref *Ref, bad func(string, ...any) error) error {
	switch {
	case (ref.To == "") == (ref.Kind == ""):
		return bad("a ref has either the kind \"to\" or the path \"kind\"")
	case ref.To != "" && !kindName.MatchString(ref.To):
		return bad("%q is no kind: write Pod or Deployment.apps", ref.To)
	case ref.APIVersion != "" && ref.Group != "":
		return bad("a ref has the path of an apiVersion or of a group, not both")
	}
	return nil
}

func checkSelect(s *Select, bad func(string, ...any) error) error {
	words := []string{All, None}
	switch {
	case !kindName.MatchString(s.To):
		return bad("%q is no kind: write Pod or Deployment.apps", s.To)
	case s.Path == "":
		return bad("a select has the path of a selector")
	case s.Form != Labels && s.Form != LabelSelector:
		return bad("the form %q of a selector is neither %s nor %s", s.Form, Labels, LabelSelector)
	case !slices.Contains(words, s.Empty) || !slices.Contains(words, s.Absent):
		return bad("\"empty\" and \"absent\" each say %s or %s", All, None)
	}
	return nil
}

func count(all ...bool) int {
	n := 0
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}
