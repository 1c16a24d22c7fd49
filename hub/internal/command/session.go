package command

import (
	"os"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/hub/internal/login"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// The variables that say what a login otherwise does.
const (
	hubVariable   = "KUBILITICS_HUB"
	tokenVariable = "KUBILITICS_TOKEN"
)

// session is with which hub, and by which token, the command works.
type session struct {
	login.Hub
	client *client.Client
	known  []client.Cluster // those that one may see, once they were asked for
}

// logins reads what is kept, and warns of what others can read.
func (a *app) logins() (login.Logins, error) {
	var err error
	if a.files, err = login.Own(); err != nil {
		return login.Logins{}, err
	}
	all, warning, err := a.files.Load()
	if warning != "" {
		a.say("warning: %s", warning)
	}
	return all, err
}

// address is the hub that is meant; "" when nothing names one.
func (a *app) address(all login.Logins) (string, error) {
	for _, named := range []string{a.hub, os.Getenv(hubVariable)} {
		if named != "" {
			return client.Address(named)
		}
	}
	return all.Current, nil
}

// session opens the one that is meant. Unauthorized when nobody has logged in there.
func (a *app) session(limit time.Duration) (*session, error) {
	all, err := a.logins()
	if err != nil {
		return nil, err
	}
	address, err := a.address(all)
	if err != nil {
		return nil, err
	}
	if address == "" {
		return nil, fault.New(fault.Unauthorized, "no hub is known here: run %s login https://…", a.name())
	}
	hub, known := all.Find(address)
	hub.Address = address
	if text := os.Getenv(tokenVariable); text != "" {
		if hub.Token, err = checkToken(text); err != nil {
			return nil, err
		}
	} else if !known {
		return nil, fault.New(fault.Unauthorized, "not logged in to %s: run %s login %[1]s", address, a.name())
	}
	return a.open(hub, limit)
}

func (a *app) open(hub login.Hub, limit time.Duration) (*session, error) {
	if a.ca != "" {
		text, err := readFile("--ca", a.ca)
		if err != nil {
			return nil, err
		}
		hub.CA = string(text)
	}
	cfg := client.Config{Hub: hub.Address, Token: hub.Token, Agent: "kubilitics/" + a.Version, Limit: limit}
	if hub.CA != "" {
		cfg.CA = []byte(hub.CA)
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, err
	}
	return &session{Hub: hub, client: c}, nil
}

// checkToken gives the token in a text. What it is not is told without repeating it.
func checkToken(text string) (string, error) {
	text = strings.TrimSpace(text)
	if _, ok := credential.Parse(credential.API, text); !ok && !credential.Looks(credential.Ticket, text) {
		return "", fault.New(fault.BadRequest, "that is no API token, or not all of one: it is %s. and two parts more, with a dot between them", credential.API)
	}
	return text, nil
}

// tokenID is the part of a token that isn't secret.
func tokenID(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return ""
	}
	return parts[1]
}

// again adds to a hub's no what to do about it.
func (a *app) again(s *session, err error) error {
	if !fault.Is(err, fault.Unauthorized) {
		return err
	}
	if os.Getenv(tokenVariable) != "" { // a login wouldn't be looked at
		return fault.New(fault.Unauthorized, "%s doesn't let you in: %v: %s must hold another token", s.Address, err, tokenVariable)
	}
	return fault.New(fault.Unauthorized, "%s doesn't let you in: %v: run %s login %[1]s", s.Address, err, a.name())
}

// asks does what a command does with the hub that is meant, and adds to a no of the hub what to do about it.
func (a *app) asks(do func(*session) error) error {
	s, err := a.session(asking)
	if err != nil {
		return err
	}
	defer s.client.Close()
	return a.again(s, do(s))
}
