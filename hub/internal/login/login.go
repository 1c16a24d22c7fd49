// Package login keeps, in files that only their owner can read, which hubs somebody has logged in to, and the tickets that they got there.
package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Hub is one that somebody has logged in to.
type Hub struct {
	Address string `json:"address"`      // as client.Address gives it
	CA      string `json:"ca,omitempty"` // PEM: whom to trust to be the hub; "" is those whom the system trusts
	Token   string `json:"token"`        // an API token
}

// Logins are all of them.
type Logins struct {
	Current string `json:"current,omitempty"` // address of the hub that is meant where none is named
	Hubs    []Hub  `json:"hubs"`
}

// Find gives the login at an address.
func (l *Logins) Find(address string) (Hub, bool) {
	i := slices.IndexFunc(l.Hubs, func(h Hub) bool { return h.Address == address })
	if i < 0 {
		return Hub{}, false
	}
	return l.Hubs[i], true
}

// Put adds a login, or puts it in the place of the one before, and makes it the current one.
func (l *Logins) Put(h Hub) {
	l.Remove(h.Address)
	l.Hubs = append(l.Hubs, h)
	l.Current = h.Address
}

// Remove forgets a login. The current one is then none, or the only one that is left.
func (l *Logins) Remove(address string) {
	l.Hubs = slices.DeleteFunc(l.Hubs, func(h Hub) bool { return h.Address == address })
	if l.Current != address {
		return
	}
	l.Current = ""
	if len(l.Hubs) == 1 {
		l.Current = l.Hubs[0].Address
	}
}

// Files is where it is kept.
type Files struct {
	Logins  string // a file
	Tickets string // a directory
}

// Own are the files of the user of this process.
func Own() (Files, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return Files{}, fault.Wrap(err, fault.Internal, "it isn't known where your configuration is")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Files{}, fault.Wrap(err, fault.Internal, "it isn't known where your cache is")
	}
	return Files{Logins: filepath.Join(config, "kubilitics", "logins.json"), Tickets: filepath.Join(cache, "kubilitics", "tickets")}, nil
}

// Load reads the logins; there are none where there is no file. The warning is a sentence about a file that others can read, or "".
func (f Files) Load() (l Logins, warning string, err error) {
	text, err := os.ReadFile(f.Logins)
	if errors.Is(err, fs.ErrNotExist) {
		return Logins{}, "", nil
	}
	if err != nil {
		return Logins{}, "", fault.Wrap(err, fault.Internal, "your logins can't be read")
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return Logins{}, "", fault.Wrap(err, fault.Internal, "your logins in %s are damaged; mend or remove the file, and log in again", f.Logins)
	}
	return l, f.exposed(), nil
}

func (f Files) exposed() string {
	info, err := os.Stat(f.Logins)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds tokens, and others can read it (mode %04o): chmod 600 %[1]s", f.Logins, info.Mode().Perm())
}

// Save writes the logins, as a whole or not at all.
func (f Files) Save(l Logins) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err == nil {
		err = replace(f.Logins, append(text, '\n'))
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "your logins can't be written")
	}
	return nil
}

// replace puts a file, readable by its owner alone, in the place of what was there, so that a reader sees the one or the other.
func replace(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
