package pods

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// names collects what is wrong with a question's names.
type names struct{ bad *fault.Error }

func (n *names) wrong(field, format string, args ...any) {
	if n.bad == nil {
		n.bad = fault.New(fault.BadRequest, "what is asked for isn't all valid")
	}
	n.bad = n.bad.WithField(field, format, args...)
}

func (n *names) err() error {
	if n.bad == nil {
		return nil
	}
	return n.bad
}

// label checks the name of a namespace or a container.
func (n *names) label(field, text string) {
	if problems := validation.IsDNS1123Label(text); len(problems) > 0 {
		n.wrong(field, "%s", problems[0])
	}
}

// object checks the name of anything else.
func (n *names) object(field, text string) {
	if problems := validation.IsDNS1123Subdomain(text); len(problems) > 0 {
		n.wrong(field, "%s", problems[0])
	}
}

func (n *names) selector(field, text string) {
	if _, err := labels.Parse(text); err != nil {
		n.wrong(field, "%v", err)
	}
}
