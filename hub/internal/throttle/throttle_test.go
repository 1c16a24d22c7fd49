package throttle

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestEachAndTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(Rate{PerSecond: 1, Burst: 2}, Rate{PerSecond: 10, Burst: 5})
		allowed := func(key string) int {
			n := 0
			for th.Take(key) == nil {
				n++
			}
			return n
		}
		if got := allowed("a"); got != 2 {
			t.Errorf("a may do %d, want its burst of 2", got)
		}
		err := th.Take("a")
		if !fault.Is(err, fault.TooManyRequests) || fault.RetryAfter(err) < time.Second {
			t.Errorf("got %v, retry after %s", err, fault.RetryAfter(err))
		}
		if got := allowed("b"); got != 2 {
			t.Errorf("b may do %d: what a was refused must cost the others nothing", got)
		}
		if got := allowed("c"); got != 1 {
			t.Errorf("c may do %d, want the one that is left of the total", got)
		}
		time.Sleep(time.Second) // of the bubble's clock
		if got := allowed("a"); got != 1 {
			t.Errorf("a second later a may do %d, want 1", got)
		}
	})
}

func TestKeysAreBounded(t *testing.T) {
	th := New(Rate{1, 1}, Rate{1e9, 1 << 30})
	for i := range 3 * remembered {
		_ = th.Take(fmt.Sprint(i))
	}
	if n := th.keys.Len(); n > remembered {
		t.Errorf("%d keys are kept", n)
	}
}

func TestHost(t *testing.T) {
	for addr, want := range map[string]string{"10.1.2.3:99": "10.1.2.3", "[::1]:8": "::1", "pipe": "pipe"} {
		if got := Host(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestOneNetworkIsOneStranger(t *testing.T) {
	th := New(Rate{PerSecond: 0.001, Burst: 1}, Rate{PerSecond: 1000, Burst: 1000})
	for _, c := range []struct {
		key  string
		pass bool
	}{
		{"2001:db8:1:2::1", true}, {"2001:db8:1:2:ffff::9", false}, {"2001:db8:1:3::1", true}, {"fe80::1%eth0", true}, {"fe80::2%eth1", false},
		{"192.0.2.1", true}, {"192.0.2.2", true}, {"::ffff:192.0.2.3", true}, {"::ffff:192.0.2.4", true}, {"pipe", true}, {"pipe", false},
	} {
		if err := th.Take(c.key); (err == nil) != c.pass {
			t.Errorf("%s: %v", c.key, err)
		}
	}
}
