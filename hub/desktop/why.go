package desktop

import (
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// signs tell by an error's text what is wrong, the first that is in it. Texts, because an error has lost its types by the time some come here.
var signs = []struct{ in, code, says string }{
	{"getting credentials: exec", "credentials", "its credential plugin failed"},
	{"x509: ", "certificate", "its certificate isn't trusted"},
	{"tls: ", "certificate", "a TLS connection can't be made"},
	{"no such host", "name", "its name isn't known"},
	{"server misbehaving", "name", "its name can't be looked up"},
	{"connection refused", "refused", "nothing listens at its address"},
	{"i/o timeout", "silent", "it doesn't answer"},
	{"handshake timeout", "silent", "it doesn't answer"},
	{"deadline exceeded", "silent", "it doesn't answer"},
	{"no route to host", "silent", "there is no way to its address"},
	{"unreachable", "silent", "there is no way to its address"},
}

// why gives an error's code, and the sentence for people.
func why(err error) (code, reason string) {
	text := tail(err.Error())
	for _, s := range signs {
		if strings.Contains(text, s.in) {
			return s.code, s.says + ": " + text
		}
	}
	switch fault.CodeOf(err) {
	case fault.Unauthorized:
		return "unauthorized", "it doesn't accept the credentials of the context: " + text
	case fault.Forbidden:
		return "forbidden", "it permits too little: " + text
	default:
		return "other", text
	}
}

// tail is an error without the request that it came of, whose address the kubeconfig tells.
func tail(text string) string {
	if i := strings.LastIndex(text, `": `); i >= 0 {
		return text[i+len(`": `):]
	}
	return text
}
