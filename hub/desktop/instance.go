package desktop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ExitRunning is the exit code of a start that found a desktop running on the same data.
const ExitRunning = 3

// AlreadyRunning is the error of a start that found a desktop running on the same data.
type AlreadyRunning struct{ Ready Ready }

// Error says where it runs.
func (a *AlreadyRunning) Error() string {
	return fmt.Sprintf("the desktop runs already at %s, as process %d", a.Ready.URL, a.Ready.PID)
}

// ExitCode is the process's.
func (a *AlreadyRunning) ExitCode() int { return ExitRunning }

// errHeld says that another process holds the lock.
var errHeld = errors.New("another process holds the lock")

// lock is an open file that one process at a time can hold. The system lets it go with the process, however that ends.
type lock struct{ file *os.File }

func acquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the lock %s can't be opened", path)
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errHeld) {
			return nil, errHeld
		}
		return nil, fault.Wrap(err, fault.Internal, "the lock %s can't be taken", path)
	}
	return &lock{f}, nil
}

// release may be called again.
func (l *lock) release() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// note writes where this process is, for a second start by the same person: nobody else can read it, and it is of no use after the process's end.
func note(path string, r Ready) error {
	r.Open = "" // it can be used once, by whoever was told
	text, err := json.Marshal(r)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the note has no JSON form")
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".desktop-*") // mode 0600
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the note %s can't be written", path)
	}
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fault.Wrap(err, fault.Internal, "the note %s can't be written", path)
	}
	return nil
}

const (
	noteWithin = 5 * time.Second // a start that has the lock has written its note by then
	noteLook   = 50 * time.Millisecond
)

// another asks the desktop that runs for a link to its page.
func another(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	for {
		ready, err := readNote(filepath.Join(dir, instanceFile))
		if err == nil {
			ready.Open, err = askLink(ctx, ready)
		}
		if err == nil {
			ready.Running = true
			return &AlreadyRunning{ready}
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(err, fault.Conflict, "another process holds the data directory %s, and doesn't answer", dir)
		case <-time.After(noteLook):
		}
	}
}

func readNote(path string) (r Ready, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

func askLink(ctx context.Context, r Ready) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+"/desktop/v1/links", bytes.NewReader(nil))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ Open string }
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s", resp.Status)
	}
	return out.Open, json.NewDecoder(resp.Body).Decode(&out)
}
