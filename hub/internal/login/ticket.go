package login

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Key says what a ticket was got for.
type Key struct {
	Hub     string // address
	Token   string // id of the token it was got with
	Cluster string // id; "" is all
}

// Ticket is one that was kept.
type Ticket struct {
	Key     Key       `json:"key"`
	Token   string    `json:"token"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// renewAhead is how long before its end a ticket isn't handed out any more, so that what is begun with it has time to begin.
const renewAhead = 2 * time.Minute

// Fresh tells whether it is good for some time yet: two minutes, and a fifth of its life.
func (t Ticket) Fresh(now time.Time) bool {
	left := t.Expires.Sub(now)
	return left >= renewAhead && left >= t.Expires.Sub(t.Issued)/5
}

// Valid tells whether it is good at all.
func (t Ticket) Valid(now time.Time) bool { return now.Before(t.Expires) }

func (f Files) ticket(k Key) string {
	h := sha256.Sum256([]byte(k.Hub + "\n" + k.Token + "\n" + k.Cluster))
	return filepath.Join(f.Tickets, hex.EncodeToString(h[:16])+".json")
}

// Ticket gives the one that was kept, if there is one. What can't be read isn't there: another can be had.
func (f Files) Ticket(k Key) (t Ticket, ok bool) {
	text, err := os.ReadFile(f.ticket(k))
	if err != nil || json.Unmarshal(text, &t) != nil || t.Key != k || t.Token == "" {
		return Ticket{}, false
	}
	return t, true
}

// Keep keeps a ticket in the place of the one before. Any number of processes may do so at once: each leaves a whole one.
func (f Files) Keep(t Ticket) error {
	text, err := json.Marshal(t)
	if err == nil {
		err = replace(f.ticket(t.Key), text)
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the ticket can't be kept")
	}
	return nil
}

// Forget removes the tickets of a hub, and with them those that have ended and what was left half written.
func (f Files) Forget(hub string) error {
	entries, err := os.ReadDir(f.Tickets)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		var t Ticket
		path := filepath.Join(f.Tickets, e.Name())
		if text, readErr := os.ReadFile(path); readErr == nil && json.Unmarshal(text, &t) == nil && t.Key.Hub != hub && t.Valid(time.Now()) {
			continue
		}
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the tickets can't be removed")
	}
	return nil
}
