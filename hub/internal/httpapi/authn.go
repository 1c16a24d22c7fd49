package httpapi

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// authenticate finds out who asks. Those who are still strangers pass through a gate, so that any number of them costs little.
func (a *API) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case a.strangers <- struct{}{}:
		default:
			a.fail(w, r, fault.New(fault.TooManyRequests, "too many requests are being authenticated").After(time.Second))
			return
		}
		p, err := a.whoSends(r)
		<-a.strangers
		if err != nil {
			a.fail(w, r, err)
			return
		}
		infoOf(r.Context()).principal = p
		next.ServeHTTP(w, r)
	})
}

// whoSends asks who that is, of a request that comes from where it really comes from: strangers are throttled by address, and behind a trusted proxy
// one of them would else be all who come by it.
func (a *API) whoSends(r *http.Request) (fleet.Principal, error) {
	from := *r
	from.RemoteAddr = a.clientOf(r)
	return a.cfg.Authenticator.Authenticate(&from)
}

// Browsers can't send headers with a WebSocket, so the token may come as a subprotocol, which unlike the URL ends up in no log.
const (
	streamProtocol = "kubilitics.v1"
	bearerProtocol = "bearer."
)

func bearerFromProtocol(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			if token := protocolToken(r); token != "" {
				r = r.Clone(r.Context())
				r.Header.Set("Authorization", "Bearer "+token)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func protocolToken(r *http.Request) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(p), bearerProtocol); ok {
				raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
				if err == nil {
					return string(raw)
				}
			}
		}
	}
	return ""
}
