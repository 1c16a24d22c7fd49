package live

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/obs"
)

type metrics struct {
	begun         prometheus.Counter
	lagged, reset prometheus.Counter
	dismissed     prometheus.Counter
	read          prometheus.Counter
	delay         prometheus.Histogram
}

func (l *Live) announce(reg prometheus.Registerer) *metrics {
	reg = obs.Or(reg)
	ended := obs.Counters(reg, "kubilitics_hub_live_dropped_total", "Subscriptions that the hub ended: too slow, resumed from where the feed no longer goes back to, or of somebody who may not have it any more.", "reason")
	obs.Asked(reg, "kubilitics_hub_live_subscriptions", "Subscriptions to the feed.", func() float64 { return float64(l.Subscriptions()) })
	obs.Asked(reg, "kubilitics_hub_live_tail_age_seconds", "Since when the feed hasn't been looked at for subscriptions.", func() float64 {
		if beat := l.beat.Load(); beat > 0 {
			return time.Since(time.Unix(0, beat)).Seconds()
		}
		return 0
	})
	return &metrics{
		begun:     obs.Counter(reg, "kubilitics_hub_live_subscriptions_total", "Subscriptions begun."),
		lagged:    ended.WithLabelValues("lagged"),
		reset:     ended.WithLabelValues("reset"),
		dismissed: ended.WithLabelValues("unauthorized"),
		read:      obs.Counter(reg, "kubilitics_hub_live_entries_total", "Entries of feeds read for subscriptions."),
		delay: obs.Histogram(reg, "kubilitics_hub_live_delay_seconds", "From the commit of an entry of the feed, by the database's clock, until it was read for subscriptions.",
			.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60),
	}
}

// took counts entries read at the end of a feed.
func (m *metrics) took(items []*item) {
	m.read.Add(float64(len(items)))
	now := time.Now()
	for _, i := range items {
		m.delay.Observe(max(now.Sub(i.At).Seconds(), 0))
	}
}
