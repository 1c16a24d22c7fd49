package auth

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// TicketPurpose is what the key of tickets is derived from the hub's root for.
const TicketPurpose = "kubilitics tickets v1"

// DefaultTicket is how long a ticket lasts when nobody says.
const DefaultTicket = 15 * time.Minute

const (
	minTicket = 10 * time.Second
	tokenLen  = 12 // bytes of a token's id
	claimsLen = tokenLen + 8 + 8 + 8
)

// claims are what a ticket says.
type claims struct {
	token   string // id of the API token it was made from
	tenant  fleet.TenantID
	cluster fleet.ClusterID // 0 is all
	expires time.Time       // a whole second
}

func (c claims) bytes() ([]byte, error) {
	out := make([]byte, 0, claimsLen)
	id, err := hex.DecodeString(c.token)
	if err != nil || len(id) != tokenLen {
		return nil, fault.New(fault.Forbidden, "tickets are made from API tokens")
	}
	out = append(out, id...)
	out = binary.BigEndian.AppendUint64(out, uint64(c.tenant))
	out = binary.BigEndian.AppendUint64(out, uint64(c.cluster))
	return binary.BigEndian.AppendUint64(out, uint64(c.expires.Unix())), nil
}

func parseClaims(text []byte) (claims, bool) {
	if len(text) != claimsLen {
		return claims{}, false
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(text[tokenLen+8*at:])) }
	return claims{
		token: hex.EncodeToString(text[:tokenLen]), tenant: fleet.TenantID(number(0)), cluster: fleet.ClusterID(number(1)),
		expires: time.Unix(number(2), 0),
	}, true
}

// Ticket makes a ticket for whoever asks: its text, and when it ends, which is a whole second. It lasts as long as asked, DefaultTicket for 0, the
// longest that is configured for less than 0, and never longer than the token or ticket of who asks; with a cluster it is good for that one alone.
// It can do what they can, and ends with the token they came by. BadRequest for more than is configured.
func (t *Tokens) Ticket(ctx context.Context, by fleet.Principal, lasts time.Duration, cluster fleet.ClusterID) (text string, expires time.Time, err error) {
	switch {
	case lasts == 0:
		lasts = min(DefaultTicket, t.maxTicket)
	case lasts < 0:
		lasts = t.maxTicket
	case lasts < minTicket || lasts > t.maxTicket:
		return "", time.Time{}, fault.New(fault.BadRequest, "a ticket can last from %s to %s here", minTicket, t.maxTicket).
			WithField("lifetime", "must be from %s to %s", minTicket, t.maxTicket)
	}
	if cluster == 0 {
		cluster = by.Only
	}
	if by.Only != 0 && cluster != by.Only {
		return "", time.Time{}, fault.New(fault.NotFound, "there is no cluster %s", cluster)
	}
	expires = earliest(t.now().Add(lasts), by.Expires).Truncate(time.Second)
	said, err := claims{token: by.Token, tenant: by.Tenant, cluster: cluster, expires: expires}.bytes()
	if err != nil {
		return "", time.Time{}, err
	}
	made := credential.Seal(credential.Ticket, t.ticketKey, said)
	t.log.Info("ticket made", obs.About(ctx), zap.String("ticket", made.ID), zap.String("token", by.Token), zap.String("by", by.Name), zap.Stringer("cluster", cluster), zap.Time("until", expires))
	return made.Text(), expires, nil
}

// earliest is the earlier of two times; a zero one is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// admit authenticates by a ticket. One that nobody here made costs a MAC, and is asked of nobody.
func (t *Tokens) admit(r *http.Request, text string) (fleet.Principal, error) {
	made, said, ok := credential.Unseal(credential.Ticket, t.ticketKey, text)
	c, whole := parseClaims(said)
	if !ok || !whole {
		return fleet.Principal{}, fault.New(fault.Unauthorized, "the ticket isn't one of this hub's: log in again, or have another made")
	}
	if !t.now().Before(c.expires) {
		return fleet.Principal{}, errTicketEnded(c.expires)
	}
	// What is asked for with tickets of tokens that are gone is bounded as what is asked for with unknown tokens.
	if !t.known.Contains(c.token) {
		if err := t.throttle.Take(throttle.Host(r.RemoteAddr)); err != nil {
			return fleet.Principal{}, err
		}
	}
	p, err := t.holder(r.Context(), c.token)
	if err != nil {
		return fleet.Principal{}, err
	}
	if p.Tenant != c.tenant { // a token's id was given out anew, to somebody else
		return fleet.Principal{}, unknown()
	}
	t.note(c.token)
	p = narrowed(p, made.ID, c.cluster)
	p.Expires = earliest(c.expires, p.Expires)
	return p, nil
}

func errTicketEnded(at time.Time) error {
	return fault.New(fault.Unauthorized, "the ticket ended at %s", at.UTC().Format(time.RFC3339))
}

// narrowed is who holds a ticket of p's: somebody who may do no more than p.
func narrowed(p fleet.Principal, ticket string, only fleet.ClusterID) fleet.Principal {
	if only != 0 {
		p = p.Within([]fleet.ClusterID{only})
	}
	p.Ticket, p.Only = ticket, only
	return p
}
