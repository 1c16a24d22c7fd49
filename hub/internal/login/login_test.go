package login

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func files(t *testing.T) Files {
	dir := t.TempDir()
	return Files{Logins: filepath.Join(dir, "config", "logins.json"), Tickets: filepath.Join(dir, "tickets")}
}

func TestLogins(t *testing.T) {
	f := files(t)
	l, warning, err := f.Load()
	if err != nil || warning != "" || len(l.Hubs) != 0 {
		t.Fatalf("without a file: %+v, %q, %v", l, warning, err)
	}
	l.Put(Hub{Address: "a", Token: "1"})
	l.Put(Hub{Address: "b", Token: "2"})
	l.Put(Hub{Address: "a", Token: "3"})
	if err := f.Save(l); err != nil {
		t.Fatal(err)
	}
	if l, _, err = f.Load(); err != nil || len(l.Hubs) != 2 || l.Current != "a" {
		t.Errorf("%+v, %v", l, err)
	}
	if h, ok := l.Find("a"); !ok || h.Token != "3" {
		t.Errorf("%+v", h)
	}
	if l.Remove("a"); l.Current != "b" {
		t.Errorf("current is %q", l.Current)
	}
	if l.Remove("b"); l.Current != "" || len(l.Hubs) != 0 {
		t.Errorf("%+v", l)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Logins), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := os.WriteFile(f.Logins, []byte(`{"hubs":[{"token":"kbt1.secret`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Load(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("damaged: %v", err)
	}
}

func TestFresh(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		life, left time.Duration
		want       bool
	}{
		{15 * time.Minute, 15 * time.Minute, true},
		{15 * time.Minute, 3 * time.Minute, true},
		{15 * time.Minute, 3*time.Minute - time.Second, false},
		{5 * time.Minute, 2 * time.Minute, true},
		{5 * time.Minute, 2*time.Minute - time.Second, false},
		{8 * time.Hour, time.Hour, false},
		{time.Minute, time.Minute, false},
		{time.Hour, -time.Second, false},
	} {
		k := Ticket{Issued: now.Add(c.left - c.life), Expires: now.Add(c.left)}
		if got := k.Fresh(now); got != c.want || k.Valid(now) != (c.left > 0) {
			t.Errorf("%s of %s left: fresh %v, valid %v", c.left, c.life, got, k.Valid(now))
		}
	}
}

func TestTickets(t *testing.T) {
	f := files(t)
	if err := f.Forget("a"); err != nil {
		t.Errorf("nothing to forget: %v", err)
	}
	end := time.Now().Add(time.Hour)
	one, two, old := Ticket{Key{"a", "1", ""}, "x", time.Now(), end}, Ticket{Key{"b", "1", "c"}, "y", time.Now(), end}, Ticket{Key{"b", "2", ""}, "z", time.Now(), time.Now()}
	for _, k := range []Ticket{one, two, old} {
		if err := f.Keep(k); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := f.Ticket(one.Key); !ok || got.Token != "x" || !got.Expires.Equal(end) {
		t.Errorf("%+v, %v", got, ok)
	}
	if got, ok := f.Ticket(Key{"a", "1", "c"}); ok {
		t.Errorf("one for another cluster: %+v", got)
	}
	if err := f.Forget("a"); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Ticket(one.Key); ok {
		t.Error("it wasn't forgotten")
	}
	if _, ok := f.Ticket(two.Key); !ok {
		t.Error("another hub's was forgotten")
	}
	if _, ok := f.Ticket(old.Key); ok {
		t.Error("one that had ended stayed")
	}
}
