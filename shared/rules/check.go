package rules

import (
	"regexp"
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

var (
	ruleName    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	kindName    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*(\.[a-z0-9.-]+)?$`)
	versionName = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?$`)
	attrName    = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	anyKind     = []string{"*", "*.*"}
	// ownAttrs are attributes that edges get from elsewhere.
	ownAttrs = []string{"wantUID", crossNamespace}
)

// complaint makes the error of a row.
type complaint func(format string, args ...any) error

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
	case forms != 1:
		return bad("it needs exactly one of \"ref\", \"select\" and \"func\", and has %d", forms)
	case row.Func != "" && linkers[row.Func] == nil:
		return bad("there is no function %q", row.Func)
	case row.Func == "" && len(row.Fields) > 0:
		return bad("only functions have \"fields\"")
	case row.Reverse && row.Select != nil:
		return bad("the edges of a selector can't be reversed")
	case row.Template && !slices.Equal(row.From, []string{"Pod"}):
		return bad("only what is written for Pods holds in templates")
	}
	for _, step := range []func(*Row, complaint) error{checkFrom, checkRef, checkSelect, checkWhere, checkKeep} {
		if err := step(row, bad); err != nil {
			return err
		}
	}
	return nil
}

func checkFrom(row *Row, bad complaint) error {
	if len(row.From) == 0 {
		return bad("it names no kind in \"from\"")
	}
	for _, k := range row.From {
		switch {
		case slices.Contains(anyKind, k):
			if len(row.From) > 1 {
				return bad("%q in \"from\" stands alone", k)
			}
		case !kindName.MatchString(k):
			return bad("%q is no kind: write Pod, Deployment.apps, * or *.*", k)
		}
	}
	for _, v := range row.Versions {
		if !versionName.MatchString(v) {
			return bad("%q is no version: write v1 or v1beta1, without the group", v)
		}
	}
	return nil
}

func checkRef(row *Row, bad complaint) error {
	ref := row.Ref
	if ref == nil {
		return nil
	}
	switch {
	case (ref.To == "") == (ref.Kind == ""):
		return bad("a ref has either the kind \"to\" or the path \"kind\"")
	case ref.To != "" && !kindName.MatchString(ref.To):
		return bad("%q is no kind: write Pod or Deployment.apps", ref.To)
	case ref.To != "" && (ref.Default != "" || ref.SameGroup || ref.APIVersion != "" || ref.Group != ""):
		return bad("a ref to one kind has no path or default of a kind or group")
	case ref.Default != "" && !kindName.MatchString(ref.Default):
		return bad("the default %q is no kind: write Pod or Deployment.apps", ref.Default)
	case ref.SameGroup && ref.Default == "":
		return bad("\"sameGroup\" is that of a \"default\", and there is none")
	case ref.Name == "" && len(row.At) == 0:
		return bad("a ref has the path of a name, or stands at one (\"at\")")
	case ref.Cluster && (ref.Namespace != "" || ref.To == ""):
		return bad("\"cluster\" is said of one kind \"to\" whose objects have no namespace")
	}
	return nil
}

func checkSelect(row *Row, bad complaint) error {
	s := row.Select
	if s == nil {
		return nil
	}
	words := []string{All, None}
	switch {
	case !kindName.MatchString(s.To):
		return bad("%q is no kind: write Pod or Deployment.apps", s.To)
	case s.Path == "" && len(row.At) == 0:
		return bad("a select has the path of a selector, or stands at one (\"at\")")
	case s.Form != Labels && s.Form != LabelSelector:
		return bad("the form %q of a selector is neither %s nor %s", s.Form, Labels, LabelSelector)
	case !slices.Contains(words, s.Empty) || !slices.Contains(words, s.Absent):
		return bad("\"empty\" and \"absent\" each say %s or %s", All, None)
	case s.Anywhere != "" && s.Namespaces == "*":
		return bad("with \"*\" for \"namespaces\", nothing is left for \"anywhere\" to say")
	}
	return nil
}

func checkWhere(row *Row, bad complaint) error {
	for i, w := range row.Where {
		switch {
		case w.Path == "" && len(row.At) == 0:
			return bad("condition %d has the path of no field", i+1)
		case len(w.Is) == 0 && len(w.Not) == 0:
			return bad("condition %d, on %q, says neither \"is\" nor \"not\"", i+1, w.Path)
		}
	}
	return nil
}

func checkKeep(row *Row, bad complaint) error {
	seen := map[string]bool{}
	for _, k := range row.Keep {
		switch {
		case !attrName.MatchString(k.Attr):
			return bad("%q is no attribute: write readOnly", k.Attr)
		case seen[k.Attr] || slices.Contains(ownAttrs, k.Attr):
			return bad("the attribute %q is there already", k.Attr)
		case (k.Path == "") == (k.Value == ""):
			return bad("the attribute %q has either a \"path\" or a \"value\"", k.Attr)
		}
		seen[k.Attr] = true
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
